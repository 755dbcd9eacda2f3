create or replace function ml.acknowledge(
    alert_type text, reason text, alert_subject text default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    seen integer;
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'acknowledging an alert needs a reason' using errcode = 'ML004';
    end if;
    -- What nobody has been there to write down is written down now.
    perform ml_internal.check_alerts();
    update ml.alert_log l
    set acknowledged_at = clock_timestamp(), acknowledged_by = session_user,
        acknowledged_because = reason
    where l.cleared_at is null and l.type = alert_type
      and (alert_subject is null or l.subject = alert_subject);
    get diagnostics seen = row_count;
    if seen = 0 then
        raise exception 'no alert of type "%"% stands now', alert_type,
            case when alert_subject is null then ''
                 else format(' and subject "%s"', alert_subject) end
            using errcode = 'ML004', hint = 'select type, subject from ml.alerts';
    end if;
    return seen;
end
$$;
comment on function ml.acknowledge(text, text, text) is
    'Notes that a person has seen an alert, and why it may stand; '
    'ends when it clears or becomes critical; returns how many';
