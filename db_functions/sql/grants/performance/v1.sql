do $$
declare
    object record;
begin
    for object in
        select c.oid::regclass::text as name from pg_catalog.pg_class c
        where c.relnamespace = 'ml'::regnamespace
          and c.relname in ('calibration', 'calibration_summary', 'performance_realised', 'performance_estimated', 'performance_gap')
    loop
        execute format('alter view %s owner to ml_owner', object.name);
        execute format('grant select on %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
    end loop;
end
$$;
alter function ml.wilson(double precision, double precision, integer) owner to ml_owner;
revoke all on function ml.wilson(double precision, double precision, integer) from public;
-- The views compute with it as whoever reads them.
grant execute on function ml.wilson(double precision, double precision, integer)
    to ml_worker, ml_analyst, ml_publisher, ml_operator;
