-- When ml_internal.update_scores did not write all rows of a batch: tells why, and when a trigger
-- or a constraint of the application refuses, halves the part until the row at fault is alone.
create function ml_internal.serve_scores(
    source       text,
    scores       ml_internal.score[],
    roles        text[],
    versions     text[],
    blending     ml_internal.blending,
    serving      integer,                 -- of these, the first are to be served
    written_at   timestamptz,
    rescore      boolean,
    locked       integer[],               -- what it gave for all rows; null: it raised
    free         integer[],
    part         ml_internal.served[],
    out served   ml_internal.served[],    -- by place, null where a score was not written
    out refused  ml_internal.refusal[],
    out kept     uuid[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    given     boolean := locked is not null;
    patience  constant interval := '30 s';
    firsts    integer[] := array[1];
    lasts     integer[] := array[serving];
    first     integer;
    last      integer;
    began     timestamptz;
    state     text;
    message   text;
    context   text;
    busy      boolean;
    waited    boolean;
    tries     integer := 0;
    at_fault  boolean := false;           -- not the server, but a row
    one       ml_internal.served;
    unlocked  uuid[];
begin
    kept := '{}';
    refused := '{}';
    served := array_fill(null::ml_internal.served, array[serving]);
    while cardinality(firsts) > 0 loop
        first := firsts[cardinality(firsts)];
        last := lasts[cardinality(lasts)];
        firsts := trim_array(firsts, 1);
        lasts := trim_array(lasts, 1);
        began := clock_timestamp();
        if began - written_at > patience then
            kept := kept || array(select g.pattern_id from unnest(scores[first:last]) g);
            continue;
        end if;
        state := null;
        begin
            if not given then
                select u.locked, u.free, u.served into locked, free, part
                from ml_internal.update_publicly(scores, roles, versions, blending, first, last,
                                                 written_at, source <> 'live', rescore) u;
            end if;
            given := false;
        exception when others or assert_failure then
            get stacked diagnostics state = returned_sqlstate, message = message_text,
                                    context = pg_exception_context;
        end;
        if state is null then
            if cardinality(part) is distinct from last - first + 1 then
                unlocked := unlocked || array(
                    select (scores[n]).pattern_id from generate_series(first, last) n
                    where n <> all (coalesce(locked, '{}')));
                refused := refused || array(
                    select row((scores[f]).pattern_id,
                               'not written: a trigger of pattern_events returned NULL, or a '
                               'policy or rule withheld the row')::ml_internal.refusal
                    from unnest(free) f
                    -- A pattern that is there twice takes one of its scores.
                    where (scores[f]).pattern_id not in (
                        select (scores[w.place]).pattern_id from unnest(part) w));
            end if;
            foreach one in array coalesce(part, '{}') loop
                served[one.place] := one;
                at_fault := true;
            end loop;
            continue;
        end if;
        -- Another session was in the way, or the trigger only says so: those that have waited are
        -- no row's fault.
        busy := state in ('40001', '40P01', '55P03');
        waited := busy and clock_timestamp() - began > interval '300 ms';
        if busy and not waited and tries < 3 then
            tries := tries + 1;
            firsts := firsts || first;
            lasts := lasts || last;
            perform pg_sleep(0.01 * tries * random());
            continue;
        elsif waited then
            perform set_config('lock_timeout', '500ms', true);
        end if;
        if first < last then
            firsts := firsts || array[(first + last) / 2 + 1, first];
            lasts := lasts || array[last, (first + last) / 2];
            continue;
        end if;
        if waited and source = 'live'
           and (scores[first]).enqueued_at > written_at - interval '2 minutes' then
            kept := kept || (scores[first]).pattern_id;
        elsif waited and source <> 'live' then
            raise exception '%', message using errcode = state;
        else
            at_fault := at_fault or left(state, 2) not in ('53', '58');
            refused := refused || row(
                (scores[first]).pattern_id,
                ml_internal.refusal_of(state, message, context))::ml_internal.refusal;
        end if;
    end loop;
    if cardinality(refused) > 0 and not at_fault then
        -- A full disk, or no memory: it hits every row, and passes.
        raise exception '%', message using errcode = state;
    end if;
    if cardinality(unlocked) > 0 then
        select serve_scores.kept || coalesce(u.kept, '{}'), serve_scores.refused || u.refused
        into kept, refused
        from ml_internal.sort_unlocked(unlocked) u;
    end if;
end
$$;
comment on function ml_internal.serve_scores(
    text, ml_internal.score[], text[], text[], ml_internal.blending, integer, timestamptz, boolean,
    integer[], integer[], ml_internal.served[]) is
    'Internal: updates patterns with their scores; says what came back, which rows refuse and '
    'which stay, since another session has them in hand';
