-- For a downgrade: confidence is again what the application gave. A row that was never adopted, or
-- never decided, still has its own; only what was written to it while no trigger fired moves into
-- its rule confidence, so that the values found at the upgrade do not come back over it.
create function ml_internal.settle_rows(ids uuid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    update public.pattern_events p
    set confidence = g.given,
        rule_confidence = case when g.given is distinct from g.rule then g.given::text::numeric
                               else p.rule_confidence end
    from (select q.id, ml_internal.given_rule(q) as given,
                 ml_internal.usable_rule(q.rule_confidence) as rule
          from public.pattern_events q where ids is null or q.id = any (ids)) g
    where p.id = g.id and p.detected_at is not null
      and case when p.ml_metadata ? 'settings_version'
               -- An adopted rule confidence may be out of range; what it stood beside comes back
               -- with the adopted values.
               then (g.given is not null or g.rule is not null or p.rule_confidence is null)
                    and (p.confidence is distinct from g.given or g.given is distinct from g.rule)
               else g.rule is not null and g.given is distinct from g.rule end;
end
$$;
comment on function ml_internal.settle_rows(uuid[]) is
    'Internal: puts what the application gave back into confidence, of all rows when ids is null';
