import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// Tests that depend on the Redis client. They also run with ioredis 5, the other major version that packages/redis
// supports, and where ioredis itself sends all commands, as it does if a tool for tracing has wrapped its sendCommand.
const clientTests = [
  'client',
  'conformance',
  'connection',
  'faults',
  'protocol/direct-client',
  'invalidation/bus',
  'invalidation/bus-recovery',
  'invalidation/redis-bus',
  'invalidation/redis-tracking',
  'topology/cluster',
  'topology/sentinel',
]

export default defineConfig({
  test: {
    // Long enough for a slow machine. Only tests that hang should fail.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
    // The servers and the browser that tests start need cores as well, but most tests wait.
    maxWorkers: availableParallelism() >= 4 ? 4 : 2,
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
          // Tests run against the built packages, as they are published, not against transformed sources.
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        resolve: { alias: { ioredis: 'ioredis-5' } },
        test: {
          name: 'ioredis 5',
          include: clientTests.map((name) => `packages/redis/test/${name}.test.ts`),
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
          include: clientTests.map((name) => `packages/redis/test/${name}.test.ts`),
          setupFiles: ['packages/redis/test/wrap-send-command.ts'],
          server: { deps: { external: [/\/dist\//] } },
          env: { WRAP_SEND_COMMAND: '1' },
        },
      },
    ],
  },
})
