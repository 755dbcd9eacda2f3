update ml.aliases set valid_to = greatest(clock_timestamp(), valid_from) where alias = 'challenger' and valid_to is null;
drop view ml.shadow_comparison;
drop function ml.challenge, ml.compare_shadow, ml.failed_gates, ml.gates, ml.write_shadow, ml.fraction_of, ml.t_quantile;
drop table ml.shadow_pairs;
drop index ml.aliases_one_challenger;
alter table ml.settings
    drop column shadow_window, drop column gate_pairs, drop column gate_labels, drop column gate_confidence,
    drop column gate_margin, drop column gate_calibration;
