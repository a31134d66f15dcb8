/** The groups in the order of the pages: the title, what is compared, and what `raw` is, where it is a baseline. */
export const groupTexts = {
  redis: [
    'Redis',
    '`raw` is ioredis with `JSON.parse` and `JSON.stringify`. `minimal` is not a usable client: it shows what system calls, JSON and Redis cost.',
    'ioredis with JSON',
  ],
  sockets: [
    'Calls from HTTP connections',
    'An HTTP server that makes one call, or two, for each request. `raw` is ioredis; `minimal` is not a usable client; `no-store` replies without a store.',
    'ioredis with JSON',
  ],
  memcached: ['Memcached, one node', '`raw` is memjs with JSON.', 'memjs with JSON'],
  'memcached-3-nodes': ['Memcached, three nodes', '`raw` is memjs with JSON.', 'memjs with JSON'],
  'memcached-bytes': [
    'Memcached, one node, bytes',
    'The driver alone, without JSON. `raw` is memjs. `minimal` is not a usable client: it sends requests that were encoded in advance.',
    'memjs',
  ],
  'memcached-bytes-3-nodes': [
    'Memcached, three nodes, bytes',
    'The same with three nodes.',
    'memjs',
  ],
  'dynamodb-null': [
    'DynamoDB, the work of the client',
    '`raw` is the AWS SDK with JSON, `raw-batched` the same with batches by hand. The server only stores items; a table in a region takes milliseconds per request.',
    'the AWS SDK with JSON',
  ],
  'dynamodb-local': [
    'DynamoDB Local',
    'The same on DynamoDB Local, which takes more time than the client.',
    'the AWS SDK with JSON',
  ],
  memory: [
    'Memory',
    "`raw` is a Map of objects, which all callers share; `raw-json` is a Map of JSON text, the baseline for caches that return copies. `stowage` is `memory({ values: 'shared' })`, `stowage-bytes` the default.",
    'a Map of objects',
  ],
  postgres: [
    'PostgreSQL',
    '`raw` is a pool of `pg` with prepared statements and JSON.',
    'pg with JSON',
  ],
  lmdb: [
    'Files',
    '`raw` is a Map of JSON text in the memory of the process.',
    'a Map of JSON text',
  ],
  near: [
    'Near cache',
    'Hits in the process, in front of Redis. `raw` is lru-cache alone.',
    'lru-cache',
  ],
  stampede: [
    'Stampedes',
    'Four processes, each with 250 calls for one key at the same time. The loader takes 200 ms. `cold`: the key is missing. `get`: a plain hit. `stale`: the value may be returned while it is loaded again. Fewer loads are better.',
  ],
  changing: [
    'Transactions',
    'A transaction of PostgreSQL with one statement, and the keys that it changes on Redis. `raw` deletes them with ioredis after the commit, `stowage-delete` with `deleteMany`; `stowage` is `changing`, which marks them before.',
    'ioredis, after the commit',
  ],
  sessions: [
    'Sessions',
    'Express with a session of 1 KB. `raw` reads and writes it by hand, without express-session.',
    'the session by hand',
  ],
  'postgres-sessions': [
    'Sessions in PostgreSQL',
    'Express with a session of 1 KB in a logged table. `raw` is express-session with connect-pg-simple.',
    'connect-pg-simple',
  ],
  http: [
    'HTTP responses',
    'A response of 10 KB. `raw` is an Express route that sends a prepared Buffer, `raw-redis` one that gets it from Redis with ioredis.',
    'a prepared Buffer',
  ],
  limits: [
    'Limits and locks',
    '`raw` is rate-limit-redis on ioredis, and a lock written by hand. Only the row of the same algorithm is comparable: `stowage` counts in fixed windows, as rate-limit-redis does.',
    'rate-limit-redis; a lock by hand',
  ],
  bridges: [
    'Behind other libraries',
    'Other libraries with the bridges of `@stowage/bridges`, on Redis where the name does not say otherwise. `raw` is each library with its own store: cache-manager, which Nest uses, and Keyv with @keyv/redis, cache-manager with a Keyv in memory, unstorage with its Redis driver, express-rate-limit with rate-limit-redis. The libraries themselves take part of the time on both sides: unstorage 60 % of `raw` with 100 keys, and JSON.parse a quarter of cache-manager in memory. cache-manager gains more with values that consist of more fields, because Keyv calls a function for each of them.',
    'each library with its own store',
  ],
  eviction: [
    'Eviction',
    'Hit ratios of eviction policies on generated traces, and CPU time per read. The capacity is a part of all keys.',
  ],
}
