import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'examples/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    // The packages as they are published: tests run against what was built, not against transformed sources.
    server: { deps: { external: [/\/dist\//] } },
    // Slow machines are not failures; hangs are.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Real servers and a browser compete with the workers for the cores.
    maxWorkers: 2,
    // Concurrent tests wait for a ttl most of the time.
    maxConcurrency: 32,
  },
})
