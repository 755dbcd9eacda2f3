-- Settings: one row now, every change kept. Only ml.set and its kin write here.
create table ml.settings (
    singleton         boolean primary key default true check (singleton),
    version           integer not null default 1,
    enabled           boolean not null default true,
    threshold         double precision not null default 0.55
                      constraint threshold_range check (threshold between 0 and 1),
    ml_weight         double precision not null default 0.6
                      constraint ml_weight_range check (ml_weight between 0 and 1),
    rule_weight       double precision not null default 0.4
                      constraint rule_weight_range check (rule_weight between 0 and 1),
    sla_ms            double precision not null default 75
                      constraint sla_ms_range check (sla_ms > 0 and sla_ms < 'Infinity'),
    min_quality       double precision not null default 0.25
                      constraint min_quality_range check (min_quality between 0 and 1),
    benchmark_symbol  text,
    label_horizon     integer not null default 20
                      constraint label_horizon_range check (label_horizon between 1 and 1000),
    history_lag       interval not null default '1 day'
                      constraint history_lag_range check (history_lag between interval '0' and interval '365 days'),
    doorbell          text not null default 'on'
                      constraint doorbell_range check (doorbell in ('on', 'off'))
);
comment on table ml.settings is 'What the system does now, one row; change it with ml.set(name, value, reason)';
comment on column ml.settings.enabled is 'true or false: whether ML may change the effective confidence';
comment on column ml.settings.threshold is '0 to 1: below it the rule confidence stands; 0 always blends';
comment on column ml.settings.ml_weight is '0 to 1: weight of the ML confidence in the blend';
comment on column ml.settings.rule_weight is '0 to 1: weight of the rule confidence in the blend';
comment on column ml.settings.sla_ms is 'milliseconds above 0: service level from insert to score';
comment on column ml.settings.min_quality is '0 to 1: least share of features present for a score to be used';
comment on column ml.settings.benchmark_symbol is 'a symbol in price_bars, or empty for none: the market beside which patterns are seen';
comment on column ml.settings.label_horizon is '1 to 1000 bars: how long a pattern has to reach target or stop';
comment on column ml.settings.history_lag is 'an interval of 0 to 365 days: outcomes younger than this are not yet known to the history inputs';
comment on column ml.settings.doorbell is 'on or off: off never sends NOTIFY (needed for two-phase commit), workers poll';
insert into ml.settings default values;

create table ml.settings_history (
    id          bigint generated always as identity primary key,
    version     integer not null,
    name        text not null,
    old_value   text,
    new_value   text,
    reason      text not null,
    source      text not null check (source in ('sql', 'environment')),
    changed_by  text not null,
    changed_at  timestamptz not null default clock_timestamp()
);
comment on table ml.settings_history is 'Every change of a setting: what, who, when, why';
