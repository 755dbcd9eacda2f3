-- As the first grants: ml_owner owns everything here, nothing for PUBLIC, and readers read.
alter table ml.shadow_pairs owner to ml_owner;
alter view ml.shadow_comparison owner to ml_owner;
grant select on ml.shadow_pairs, ml.shadow_comparison to ml_worker, ml_analyst, ml_publisher, ml_operator;
-- Workers record what they replay once, and look whether they have.
grant select on ml.parity_checks to ml_worker;
do $$
declare
    object record;
begin
    for object in
        select p.oid::regprocedure::text as name, p.proname
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ml'::regnamespace
          and p.proname in ('challenge', 'compare_shadow', 'failed_gates', 'gates', 'write_shadow', 'fraction_of', 't_quantile')
    loop
        execute format('alter function %s owner to ml_owner', object.name);
        execute format('revoke all on function %s from public', object.name);
        -- The view computes with these as whoever reads it.
        if object.proname in ('compare_shadow', 'gates', 'fraction_of', 't_quantile') then
            execute format('grant execute on function %s to ml_analyst, ml_publisher, ml_operator', object.name);
        elsif object.proname = 'write_shadow' then
            execute format('grant execute on function %s to ml_worker', object.name);
        elsif object.proname = 'challenge' then
            execute format('grant execute on function %s to ml_operator', object.name);
        end if;
    end loop;
end
$$;
