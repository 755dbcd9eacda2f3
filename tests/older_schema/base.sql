-- The older tables as they stand in users' databases, before this system came.
create type pattern_status as enum ('pending', 'confirmed', 'completed', 'invalidated', 'expired');

create table pattern_events (
    id                 uuid primary key default gen_random_uuid(),
    symbol             text not null,
    timeframe          text not null,
    pattern_type       text not null,
    status             pattern_status not null default 'pending',
    confidence         float check (confidence >= 0 and confidence <= 1),
    target             float,
    entry              float,
    stoploss           float,
    support            float,
    resistance         float,
    draw_commands      jsonb default '[]'::jsonb,
    metadata           jsonb default '{}'::jsonb,
    created_at         timestamptz default now(),
    updated_at         timestamptz default now(),
    completed_at       timestamptz,
    snapshot_url       text,
    operator_id        text,
    verdict            text check (verdict in ('bullish', 'bearish', 'neutral')),
    verdict_notes      text,
    rule_evaluation    jsonb default '{}'::jsonb,
    auto_generated     boolean default false,
    parent_pattern_id  uuid references pattern_events (id)
);
create index idx_pattern_events_symbol on pattern_events (symbol);
create index idx_pattern_events_status on pattern_events (status);
create index idx_pattern_events_created_at on pattern_events (created_at desc);
create index idx_pattern_events_symbol_timeframe on pattern_events (symbol, timeframe);
create index idx_pattern_events_active on pattern_events (status) where status in ('pending', 'confirmed');
comment on table pattern_events is 'Detected chart patterns';

create table pattern_lifecycle_history (
    id                 uuid primary key default gen_random_uuid(),
    pattern_id         uuid not null references pattern_events (id) on delete cascade,
    old_status         pattern_status,
    new_status         pattern_status not null,
    transition_reason  text,
    metadata           jsonb default '{}'::jsonb,
    created_at         timestamptz default now()
);
create index idx_lifecycle_pattern_id on pattern_lifecycle_history (pattern_id);
create index idx_lifecycle_created_at on pattern_lifecycle_history (created_at);

create function update_pattern_timestamps() returns trigger
language plpgsql
as $$
begin
    new.updated_at := now();
    if new.status is distinct from old.status and new.status in ('completed', 'invalidated', 'expired') then
        new.completed_at := now();
    end if;
    return new;
end
$$;
create trigger pattern_events_updated_at before update on pattern_events
    for each row execute function update_pattern_timestamps();
comment on trigger pattern_events_updated_at on pattern_events is 'Keeps updated_at';

create function log_pattern_transition() returns trigger
language plpgsql
as $$
begin
    if old.status is distinct from new.status then
        insert into pattern_lifecycle_history (pattern_id, old_status, new_status, transition_reason, metadata)
        values (new.id, old.status, new.status, coalesce(new.rule_evaluation ->> 'reason', 'manual'),
                jsonb_build_object('confidence', new.confidence, 'old_confidence', old.confidence,
                                   'auto_generated', new.auto_generated, 'verdict', new.verdict));
    end if;
    return new;
end
$$;
create trigger pattern_lifecycle_transition after update on pattern_events
    for each row execute function log_pattern_transition();

create function get_active_patterns(p_symbol text, p_timeframe text default null) returns setof pattern_events
language sql stable
as $$
    select * from pattern_events
    where symbol = p_symbol and (p_timeframe is null or timeframe = p_timeframe) and status in ('pending', 'confirmed')
    order by created_at desc
$$;

create function expire_old_patterns(max_age_hours integer default 72) returns integer
language plpgsql
as $$
declare
    expired integer;
begin
    update pattern_events set status = 'expired'
    where status in ('pending', 'confirmed') and created_at < now() - make_interval(hours => max_age_hours);
    get diagnostics expired = row_count;
    return expired;
end
$$;

create function get_pattern_success_stats(p_pattern_type text default null, days integer default 30)
    returns table (pattern_type text, total bigint, completed bigint, success_rate numeric, avg_confidence double precision)
language sql stable
as $$
    select p.pattern_type, count(*), count(*) filter (where p.status = 'completed'),
           round(count(*) filter (where p.status = 'completed')::numeric / count(*), 4), avg(p.confidence)
    from pattern_events p
    where (p_pattern_type is null or p.pattern_type = p_pattern_type) and p.created_at > now() - make_interval(days => days)
    group by p.pattern_type
$$;
