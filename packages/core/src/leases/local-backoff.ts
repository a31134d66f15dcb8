import { type Clock, monotonicOf } from '../time/clock.ts'
import type { HitForMiss } from './hit-for-miss.ts'

interface BackoffScope {
  readonly hitForMiss: HitForMiss
  readonly clock: Clock
}

/**
 * The pause after a failed refresh without a lease. Only this process observes it: a mark beside the stale value would be
 * shared by all.
 */
export function beginLocalBackoff(scope: BackoffScope, key: string, ms: number): void {
  scope.hitForMiss.add(nameOf(key), ms, monotonicOf(scope.clock))
}

/** Whether this process must not refresh the stale value of the key yet. */
export function isInLocalBackoff(scope: BackoffScope, key: string): boolean {
  return scope.hitForMiss.has(nameOf(key), monotonicOf(scope.clock))
}

function nameOf(key: string): string {
  return `failed ${key}`
}
