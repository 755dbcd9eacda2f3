-- A session that listens and sits in a transaction for ever fills the server's one queue of
-- notifications, and then every transaction that notifies fails at its commit: an application's
-- INSERT, too. A notification only saves waiting, so it is left out well before that.
create function ml_internal.notify(channel text, payload text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_notification_queue_usage() < 0.5 then
        perform pg_notify(channel, payload);
    end if;
end
$$;
comment on function ml_internal.notify(text, text) is
    'Internal: NOTIFY, unless the queue of notifications is half full';
