/** The replication delays to choose from, in milliseconds, with their labels. */
export const delays: ReadonlyMap<number, string> = new Map([
  [0, 'No delay'],
  [500, '0.5 seconds'],
  [2_000, '2 seconds'],
  [10_000, '10 seconds'],
])
