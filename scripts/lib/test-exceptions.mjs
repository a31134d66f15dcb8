// What check-tests.mjs permits, by file, with the reason why it cannot make a test fail by chance.

const slowCall = 'Makes a call of a store, handler or loader slow. It may take any time longer.'
const proceeds =
  'Lets a call proceed as far as it can in this process, which takes no timer. It may take any time longer.'
const passes = 'Lets a ttl or an interval pass. It may take any time longer.'
const pace = 'The pace of a load, or of faults. The rules hold at any pace.'
const nothing =
  'Gives time to what must not happen. A slow machine makes the test weaker, and does not fail it.'

const isSubject = 'Its texts are input of the checker.'

/** Files with an upper bound on elapsed time. */
const duration = {
  'packages/dynamodb/test/requests.test.ts':
    'The bound grows with the time that has passed: a number of retries per second.',
  'packages/dynamodb/test/server-clock.test.ts':
    'Tells the clock of the server from one that is ten minutes wrong, and allows for seconds.',
  'packages/redis/test/topology/cluster.test.ts':
    'The clock of a server, in epoch milliseconds: 10 s are allowed.',
  'packages/testing/src/conformance/cache/stale-values.ts':
    'The bound grows with the time that has passed: it is the tolerance of a clock.',
  'test/check-tests.test.ts': isSubject,
}

/** Files with a sleep outside a poll. */
const sleep = {
  'examples/express-app/test/cluster.full.test.ts':
    'The moment at which a signal arrives. The process has to end at any moment.',
  'packages/core/test/calls/on-abort.test.ts': proceeds,
  'packages/core/test/calls/watchdog.test.ts':
    'A watchdog counts its own ticks, so that a machine that stops the process delays both.',
  'packages/core/test/collections/collection.test.ts': proceeds,
  'packages/core/test/generations/generation-races.test.ts': proceeds,
  'packages/core/test/generations/generations.test.ts': slowCall,
  'packages/core/test/limits/limits.test.ts': slowCall,
  'packages/core/test/locks/locks.test.ts': passes,
  'packages/core/test/near/heap.full.test.ts': 'Lets the collector of garbage finish.',
  'packages/core/test/remember/context.test.ts': proceeds,
  'packages/core/test/remember/leases.test.ts': slowCall,
  'packages/core/test/remember/many/changes-during-load.test.ts': slowCall,
  'packages/core/test/remember/many/cost.test.ts': slowCall,
  'packages/core/test/remember/remember.test.ts': slowCall,
  'packages/core/test/time/suspension.test.ts': proceeds,
  'packages/dynamodb/test/faults.test.ts': slowCall,
  'packages/dynamodb/test/soak/faulty-proxy.mjs': pace,
  'packages/dynamodb/test/soak/workload.mjs': pace,
  'packages/express/test/contract/contract.test.ts': slowCall,
  'packages/http-cache/test/cached.test.ts': nothing,
  'packages/http-cache/test/forms.ts': slowCall,
  'packages/http-cache/test/round-trips.test.ts':
    'Polls until two looks at a count are equal. The store is in this process and takes no timer.',
  'packages/lmdb/test/expiry-and-size.test.ts': nothing,
  'packages/lmdb/test/processes/random-calls.mjs': passes,
  'packages/lmdb/test/processes.full.test.ts': pace,
  'packages/memcached/test/discovery/discovery-endpoint.test.ts': proceeds,
  'packages/memcached/test/discovery/elasticache.test.ts': passes,
  'packages/memcached/test/memcached-store.test.ts':
    'A look that is too late does not count. The server itself must not be stopped.',
  'packages/memcached/test/nodes/failover.test.ts': nothing,
  'packages/memcached/test/nodes/faults.test.ts': proceeds,
  'packages/memcached/test/prefix.test.ts': passes,
  'packages/redis/test/faults.test.ts': pace,
  'packages/redis/test/topology/cluster.full.test.ts': pace,
  'packages/redis/test/topology/cluster.test.ts': pace,
  'packages/redis/test/topology/consistency.test.ts': pace,
  'packages/redis/test/topology/replicas.test.ts': pace,
  'packages/redis/test/topology/sentinel.test.ts': nothing,
  'packages/sessions/test/http/session-lock.test.ts': nothing,
  'packages/sessions/test/http/session.test.ts': slowCall,
  'packages/sessions/test/session-from-env.test.ts': passes,
  'packages/test-servers/test/fault-proxy/delays.test.ts': nothing,
  'packages/testing/src/conformance/cache/leases.ts': slowCall,
  'packages/testing/src/conformance/cache/locks/locks.ts': proceeds,
  'packages/testing/src/conformance/cache/locks/rate-limits.ts': slowCall,
  'packages/testing/src/conformance/cache/remember.ts': slowCall,
  'packages/testing/src/conformance/support/outage.ts': pace,
  'packages/testing/test/configuration-endpoint.test.ts': pace,
  'test/changing/across-processes.ts': pace,
  'test/failover/flapping.full.test.ts': pace,
  'test/failover/outages.ts': pace,
  'test/fuzz/faults.mjs': pace,
  'test/http-cache/cases/responses.ts': slowCall,
  'test/locks/cases/holders.ts': passes,
  'test/locks/processes/lock-commands.mjs': pace,
  'test/near/near-processes.ts': pace,
  'test/near/redis-servers.full.test.ts': pace,
  'test/remember/cases/holders.ts': passes,
  'test/remember/processes/worker.mjs': slowCall,
  'test/remember/races/races.mjs': pace,
  'test/sessions/cases/races.ts':
    'Lets a ttl pass. What has to happen within another one is repeated if it took too long.',
  'test/sessions/outages.full.test.ts': pace,
  'test/check-tests.test.ts': isSubject,
}

const needsIPv6 = 'Not every machine has IPv6.'
const needsRoot = 'Needs root, or a file system of Linux.'

/** Files that leave out tests. */
const leftOut = {
  'packages/cli/test/commands.test.ts': needsIPv6,
  'packages/cli/test/program.test.ts':
    'The program that starts a terminal has other options elsewhere.',
  'packages/lmdb/test/library.test.ts': needsRoot,
  'packages/lmdb/test/stopped-process.test.ts': 'Only Linux tells whether a process is stopped.',
  'packages/lmdb/test/trouble.test.ts': needsRoot,
  'packages/memcached/test/discovery/discovery.test.ts': needsIPv6,
  'packages/memcached/test/memcached-options.test.ts': needsIPv6,
  'packages/postgres/test/disk-full.full.test.ts': needsRoot,
  'test/check-tests.test.ts': isSubject,
}

/** Files with a wait that ends after a second. */
const wait = { 'test/check-tests.test.ts': isSubject }

/** Comparisons with patterns. */
const pattern = {
  'packages/cli/test/doctor.test.ts': 'Patterns become matchers before they are compared.',
  'test/check-tests.test.ts': isSubject,
}

/** Modules with hooks or settings of all files. */
const shared = { 'test/setup/each-file.ts': 'Vitest runs it for each file.' }

export const exceptions = { duration, sleep, wait, leftOut, pattern, shared }
