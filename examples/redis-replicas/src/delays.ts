/** How far behind replicas can be made, in milliseconds, and what that is called. */
export const delays: ReadonlyMap<number, string> = new Map([
  [0, 'No delay'],
  [500, 'Half a second'],
  [2_000, '2 seconds'],
  [10_000, '10 seconds'],
])
