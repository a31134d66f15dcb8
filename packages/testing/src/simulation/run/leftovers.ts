import type { SimulatedProcess } from '../world/simulated-process.ts'

/** Returns which process has left timers, or keys in its maps, when everything is over. */
export function leftovers(
  processes: readonly SimulatedProcess[],
  isOwnKey?: (key: string, value: unknown) => boolean,
): string | undefined {
  for (const { name, isKilled, timers, maps } of processes) {
    if (isKilled) continue
    if (timers > 0) return `${name} has ${timers} timers left in the end.`
    for (const map of maps) {
      for (const [key, value] of map) {
        if (typeof key !== 'string' || isOwnKey?.(key, value) !== true) continue
        return `${name} has an entry for ${key} left in one of its maps in the end.`
      }
    }
  }
  return undefined
}
