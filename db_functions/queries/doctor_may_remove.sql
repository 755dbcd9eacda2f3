select has_table_privilege('public.pattern_events', 'delete') as may_remove
