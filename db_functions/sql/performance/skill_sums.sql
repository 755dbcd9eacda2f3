create table ml_internal.skill_sums (
    model_id      integer not null,
    block         integer not null,
    pattern_type  text,
    timeframe     text,
    score         text not null,
    baseline      text not null,
    rows          bigint not null,
    difference    double precision not null,
    spread        double precision not null
);
create index skill_sums_by_block on ml_internal.skill_sums (model_id, block);
comment on table ml_internal.skill_sums is
    'Sums behind ml.skill by block, pattern type and timeframe, and over all of these (null)';
comment on column ml_internal.skill_sums.difference is
    'sum of (baseline - y)^2 - (score - y)^2; spread: of (score - baseline)^2';
