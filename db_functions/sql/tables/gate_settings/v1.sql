-- What a challenger must have shown before ml.promote lets it follow a champion.
alter table ml.settings
    add column shadow_window     integer not null default 10000
        constraint shadow_window_range check (shadow_window between 100 and 100000),
    add column gate_pairs        integer not null default 500
        constraint gate_pairs_range check (gate_pairs between 0 and 100000),
    add column gate_labels       integer not null default 500
        constraint gate_labels_range check (gate_labels between 0 and 100000),
    add column gate_confidence   double precision not null default 0.95
        constraint gate_confidence_range check (gate_confidence >= 0.5 and gate_confidence <= 0.999),
    add column gate_margin       double precision not null default 0
        constraint gate_margin_range check (gate_margin between 0 and 0.1),
    add column gate_calibration  double precision not null default 0.05
        constraint gate_calibration_range check (gate_calibration > 0 and gate_calibration <= 1);
comment on column ml.settings.shadow_window is '100 to 100000: the newest pairs of scores that a comparison of challenger and champion looks at';
comment on column ml.settings.gate_pairs is '0 to 100000: rows that a challenger must have scored beside the champion before it is promoted; 0 asks for no comparison at all';
comment on column ml.settings.gate_labels is '0 to 100000: of those rows, how many must have an outcome by now';
comment on column ml.settings.gate_confidence is '0.5 to 0.999: how sure it must be that a challenger is not worse than the champion';
comment on column ml.settings.gate_margin is '0 to 0.1: by how much Brier score a challenger may be worse and still count as not worse';
comment on column ml.settings.gate_calibration is 'above 0, to 1: largest calibration error that a challenger may show';
