-- When some patterns were scored, those that are.
select p.id::text as id, p.scored_at from public.pattern_events p
where p.id = any (%(ids)s::uuid[]) and p.scored_at is not null
