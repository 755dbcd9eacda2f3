-- Labels of the machine, all in one subtransaction; a part that a trigger or a constraint of the
-- application refuses is halved until the row at fault is alone.
create function ml_internal.label_in_parts(
    ids uuid[], labels text[], outcome_at timestamptz[], pnl double precision[],
    favorable double precision[], adverse double precision[], bars integer[], method text,
    out changed ml_internal.relabelled[], out refused ml_internal.refusal[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    firsts   integer[] := array[1];
    lasts    integer[] := array[cardinality(ids)];
    f        integer;
    l        integer;
    part     record;
    state    text;
    message  text;
    context  text;
begin
    while cardinality(firsts) > 0 loop
        f := firsts[cardinality(firsts)];
        l := lasts[cardinality(lasts)];
        firsts := trim_array(firsts, 1);
        lasts := trim_array(lasts, 1);
        state := null;
        begin
            select u.locked, u.relabelled into part
            from ml_internal.update_labels(
                ids[f:l], labels[f:l], outcome_at[f:l], pnl[f:l], favorable[f:l], adverse[f:l],
                bars[f:l], method) u;
        exception when others or assert_failure then
            get stacked diagnostics state = returned_sqlstate, message = message_text,
                                    context = pg_exception_context;
        end;
        if state is null then
            changed := changed || part.relabelled;
            refused := refused || array(
                select row(k, 'not written: a trigger of pattern_events returned NULL, or a '
                           'policy withholds the row')::ml_internal.refusal
                from unnest(part.locked) k
                left join unnest(part.relabelled) w on w.id = k
                where w.id is null);
        elsif f < l then
            firsts := firsts || array[(f + l) / 2 + 1, f];
            lasts := lasts || array[l, (f + l) / 2];
        else
            refused := refused || row(
                ids[f], ml_internal.refusal_of(state, message, context))::ml_internal.refusal;
        end if;
    end loop;
end
$$;
comment on function ml_internal.label_in_parts(
    uuid[], text[], timestamptz[], double precision[], double precision[], double precision[],
    integer[], text) is
    'Internal: labels patterns, and says which of them refuse';
