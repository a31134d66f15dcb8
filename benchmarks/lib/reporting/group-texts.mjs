/** The groups in the order of the page: the title, and what is compared. */
export const groupTexts = {
  redis: [
    'Redis',
    '`raw` is ioredis with `JSON.parse` and `JSON.stringify`. `minimal` is not a usable client: it shows what system calls, JSON and Redis cost.',
  ],
  sockets: [
    'Calls from HTTP connections',
    'An HTTP server that makes one call, or two, for each request. `raw` is ioredis; `minimal` is not a usable client; `no-store` replies without a store.',
  ],
  memcached: ['Memcached, one node', '`raw` is memjs with JSON.'],
  'memcached-3-nodes': ['Memcached, three nodes', '`raw` is memjs with JSON.'],
  'memcached-bytes': [
    'Memcached, one node, bytes',
    'The driver alone, without JSON. `raw` is memjs. `minimal` is not a usable client: it sends requests that were encoded in advance.',
  ],
  'memcached-bytes-3-nodes': ['Memcached, three nodes, bytes', 'The same with three nodes.'],
  'dynamodb-null': [
    'DynamoDB, the work of the client',
    '`raw` is the AWS SDK with JSON, `raw-batched` the same with batches by hand. The server only stores items; a table in a region takes milliseconds per request.',
  ],
  'dynamodb-local': [
    'DynamoDB Local',
    'The same on DynamoDB Local, which takes more time than the client.',
  ],
  memory: [
    'Memory',
    "`raw` is a Map of objects, which all callers share; `raw-json` is a Map of JSON text, the baseline for caches that return copies. `stowage` is `memory({ values: 'shared' })`, `stowage-bytes` the default.",
  ],
  lmdb: ['Files', '`raw` is a Map of JSON text in the memory of the process.'],
  near: ['Near cache', 'Hits in the process, in front of Redis. `raw` is lru-cache alone.'],
  stampede: [
    'Stampedes',
    'Four processes, each with 250 calls for one key at the same time. The loader takes 200 ms. `cold`: the key is missing. `get`: a plain hit. `stale`: the value may be returned while it is loaded again. Fewer loads are better.',
  ],
  sessions: [
    'Sessions',
    'Express with a session of 1 KB. `raw` reads and writes it by hand, without express-session.',
  ],
  http: [
    'HTTP responses',
    'A response of 10 KB. `raw` is an Express route that sends a prepared Buffer, `raw-redis` one that gets it from Redis with ioredis.',
  ],
  limits: [
    'Limits and locks',
    '`raw` is rate-limit-redis on ioredis, and a lock written by hand. Only the row of the same algorithm is comparable: `stowage` counts in fixed windows, as rate-limit-redis does.',
  ],
  eviction: [
    'Eviction',
    'Hit ratios of eviction policies on generated traces, and CPU time per read. The capacity is a part of all keys.',
  ],
}
