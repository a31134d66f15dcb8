import { defineConfig } from 'vitest/config'

// What depends on the client: run again with the older one that packages/redis may be installed with.
const clientTests = ['bus', 'client', 'cluster', 'conformance', 'connection', 'faults', 'sentinel']

export default defineConfig({
  test: {
    // Slow machines are not failures; hangs are.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Real servers and a browser compete with the workers for the cores.
    maxWorkers: 2,
    // Concurrent tests wait for a ttl most of the time.
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
          // The packages as they are published: tests run against what was built, not against transformed sources.
          server: { deps: { external: [/\/dist\//] } },
        },
      },
      {
        extends: true,
        resolve: { alias: { ioredis: 'ioredis-5' } },
        test: {
          name: 'ioredis 5',
          include: clientTests.map((name) => `packages/redis/test/${name}.test.ts`),
          // An alias holds only in what passes through Vite.
          server: {
            deps: { inline: [/packages\/redis\/dist\//], external: [/\/dist\//] },
          },
          env: { EXPECTED_IOREDIS: '5' },
        },
      },
    ],
  },
})
