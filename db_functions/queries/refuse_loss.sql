-- Before a downgrade to base begins: revision 0001 refuses to drop tables that were born here while
-- they hold rows, and then the revisions after it must not have been taken back already.
do $$
declare
    name        text;
    holds_rows  boolean;
begin
    if to_regclass('ml_internal.adoption') is null then
        return;
    end if;
    for name in
        select a.relation from ml_internal.adoption a
        join ml_internal.adoption events on events.relation = 'pattern_events'
        where events.born and a.born and a.relation in ('pattern_events', 'price_bars')
    loop
        execute format('select exists (select from public.%I)', name) into holds_rows;
        if holds_rows then
            raise exception 'public.% was created by this system and holds rows; '
                            'downgrading would drop them', name
                using errcode = 'object_not_in_prerequisite_state',
                      hint = format('Save what you need, empty the table '
                                    '(truncate public.%I cascade) and downgrade again.', name);
        end if;
    end loop;
end
$$
