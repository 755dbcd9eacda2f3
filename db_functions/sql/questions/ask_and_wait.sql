-- Commits, since a worker has to see the question, so it runs outside a transaction block only; the
-- server refuses it there (2D000) before anything is asked. For that it cannot have a path of its
-- own; it runs as its caller.
create procedure ml.ask_and_wait(
    kind text, question jsonb, inout answer jsonb default null, timeout interval default '5 s')
language plpgsql
as $$
declare
    id       uuid;
    pause_s  double precision := 0.0005;
begin
    commit;
    set transaction isolation level read committed, read write;
    id := ml.ask(kind, question, timeout);
    loop
        commit;
        set transaction isolation level read committed, read write;
        answer := ml.answer(id);
        exit when answer is not null;
        perform pg_catalog.pg_sleep(pause_s);
        pause_s := least(pause_s operator(pg_catalog.*) 1.1, 0.02);
    end loop;
end
$$;
comment on procedure ml.ask_and_wait(text, jsonb, jsonb, interval) is
    'Internal: asks the workers, and waits for the answer; outside a transaction block only';
