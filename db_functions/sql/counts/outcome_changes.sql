create table ml_internal.outcome_changes (
    xid                 xid8 not null default pg_current_xact_id(),
    written_at          timestamptz not null default clock_timestamp(),
    sign                smallint not null check (sign in (-1, 1)),
    scored_at           timestamptz not null,
    source              text not null,
    role                text not null,
    model_id            integer not null,
    pattern_type        text not null,
    timeframe           text not null,
    outcome             text not null check (outcome in ('positive', 'negative', 'neutral')),
    ml_confidence       real not null,
    rule_confidence     double precision,
    blended_confidence  double precision,
    threshold           double precision not null,
    detected_at         timestamptz not null,
    served              double precision,
    first_passage       real,
    seen                boolean not null
);
comment on table ml_internal.outcome_changes is
    'Outcomes of predictions as they become known; a relabel takes the old one back with sign -1';
create index outcome_changes_by_xid on ml_internal.outcome_changes (xid);
