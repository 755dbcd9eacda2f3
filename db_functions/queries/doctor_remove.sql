delete from public.pattern_events where id = %(id)s
