-- A role and a database for each service that is a client. The step 2-deploy/10-databases@postgres runs this, again when it
-- changes, and a restore does.

SELECT 'CREATE ROLE streaming_api LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'streaming_api') \gexec
ALTER ROLE streaming_api PASSWORD 'sentinel-streaming_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE streaming_api OWNER streaming_api' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'streaming_api') \gexec
REVOKE ALL ON DATABASE streaming_api FROM PUBLIC;
