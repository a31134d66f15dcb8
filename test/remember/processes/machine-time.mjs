/**
 * Milliseconds, by a clock that all processes of a machine share. `performance.timeOrigin` is not: it is determined when a
 * process starts, and is wrong by as long as the process could not run at that moment.
 */
export function machineTime() {
  return Number(process.hrtime.bigint()) / 1e6
}
