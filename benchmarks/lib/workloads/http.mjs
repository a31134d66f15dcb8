/** An application with many functions, of which each runs once a request, is optimised after two or three seconds. */
export const httpWarmUpMs = 3_000

/** Workloads of HTTP requests, from a plan like `[{ name: 'get', path: '/get', inFlight: 32 }]`. */
export function httpWorkloads(plan) {
  return plan.map((entry) => ({
    ...entry,
    id: `${entry.name} x${entry.inFlight}`,
    createOperation: ({ load }) => ({
      run: (ms) => load.send({ path: entry.path, connections: entry.inFlight, ms }),
    }),
  }))
}
