import { configDefaults, defineConfig } from 'vitest/config'
import LongestFirst from './scripts/lib/longest-first.mjs'

const isFullTier = process.env.TEST_TIER === 'full'

// Tests that depend on the Redis client. They also run with ioredis 5, the other major version that packages/redis
// supports, and where ioredis itself sends all commands, as it does if a tool for tracing has wrapped its sendCommand.
const clientTests = [
  'client',
  'protocol/direct-client',
  'conformance',
  'connection',
  'faults',
  'invalidation/bus',
  'invalidation/bus-recovery',
  'invalidation/redis-bus',
  'invalidation/redis-tracking',
  'topology/cluster',
  'topology/cluster.full',
  'topology/sentinel',
  'topology/sentinel.full',
]
const clientFiles = clientTests
  .slice(0, isFullTier ? undefined : 2)
  .map((name) => `packages/redis/test/${name}.test.ts`)

// Files without connections, which do not share a process with files that may leave some.
const unitFiles = [
  'packages/{core,memory,sessions,msgpack,http-cache,drivers,express,lmdb}/test/**/*.test.ts',
]

// Tests that need a process of their own: they observe the sockets, the memory or the listeners of their process, test a
// program that subscribes to events as long as its process runs, or need a framework that no other file has used.
const isolatedFiles = [
  'examples/express-app/test/shop.test.ts',
  'packages/express/test/nested-apps.test.ts',
  'packages/memcached/test/{discovery/discovery-endpoint,protocol/replies}.test.ts',
  'packages/postgres/test/{postgres-store,invalidation/postgres-bus}.test.ts',
  'packages/redis/test/{redis-store,tls,invalidation/bus}.test.ts',
  'packages/test-servers/test/fault-proxy/delays.test.ts',
]

const exclude = [...configDefaults.exclude, ...(isFullTier ? [] : ['**/*.full.test.ts'])]

export default defineConfig({
  test: {
    // Files named *.full.test.ts prove in further configurations what others prove in the most usual one.
    exclude,
    globalSetup: ['test/setup/shared-servers.ts'],
    setupFiles: ['test/setup/each-file.ts'],
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './scripts/lib/test-summary.mjs'],
    // Long enough for a slow machine. Only tests that hang should fail.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 20_000 } },
    env: {
      // The compilers that tests start collect garbage rarely: see compile() in scripts/lib/prepare.mjs.
      GOGC: '400',
      // The SDK of AWS announces when it ends its support of a Node version.
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    },
    // Tests have ttls that are shorter than those of applications.
    execArgv: ['--disable-warning=STOWAGE_SHORT_TTL'],
    // Most tests wait: a worker needs a quarter of a core, and the servers that it starts a little more.
    maxWorkers: 6,
    // Concurrent tests spend most of their time waiting for a ttl.
    maxConcurrency: 32,
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: [
            'packages/*/test/**/*.test.ts',
            'examples/*/test/**/*.test.ts',
            'test/**/*.test.ts',
          ],
          exclude: [...exclude, ...unitFiles, ...isolatedFiles],
          // A process for each file takes longer than most files. They leave no trace in the process: see each-file.ts.
          isolate: false,
          // Tests run against the built packages, as they are published, not against transformed sources.
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        test: {
          name: 'units',
          include: unitFiles,
          exclude: [...exclude, ...isolatedFiles],
          isolate: false,
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        test: {
          name: 'isolated',
          include: isolatedFiles,
          server: { deps: { external: [/\/dist\//] } },
          env: { LEAVES_SUBSCRIBERS: '1' },
        },
      },
      {
        extends: true,
        resolve: { alias: { ioredis: 'ioredis-5' } },
        test: {
          name: 'ioredis 5',
          include: [...clientFiles, 'packages/redis/test/protocol/ioredis-internals.test.ts'],
          isolate: false,
          // An alias applies only to modules that Vite transforms.
          server: {
            deps: { inline: [/packages\/redis\/dist\//], external: [/\/dist\//] },
          },
          env: { EXPECTED_IOREDIS: '5' },
        },
      },
      {
        extends: true,
        test: {
          name: 'ioredis wrapped',
          include: clientFiles,
          isolate: false,
          setupFiles: ['test/setup/each-file.ts', 'packages/redis/test/wrap-send-command.ts'],
          server: { deps: { external: [/\/dist\//] } },
          env: { WRAP_SEND_COMMAND: '1' },
        },
      },
    ],
  },
})
