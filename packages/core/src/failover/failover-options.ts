import {
  checkInteger,
  checkOptionNames,
  checkTimeout,
  configError,
} from '../options/check-options.ts'
import type { Duration } from '../time/duration.ts'
import type { FailoverSettings } from './recovery/recovery.ts'

/** When the breaker of a store opens, and when it sends a probe. */
export interface BreakerOptions {
  /** Share of calls that have to fail, above 0 and at most 1. @default 0.5 */
  readonly failures?: number | undefined
  /** Minimum number of calls within the window. @default 10 */
  readonly calls?: number | undefined
  /** @default '5s' */
  readonly window?: Duration | undefined
  /** Time between two pings of a store that is not used, ± 20 %. @default '1s' */
  readonly probe?: Duration | undefined
}

export interface FailoverOptions {
  readonly breaker?: BreakerOptions | undefined
  /** Maximum number of keys that a process remembers as changed during an outage. @default 100 000 */
  readonly journal?: number | undefined
  /**
   * How long a store that replies again is only written. All processes have to notice within this time that it
   * replies, and have to delete what they have changed meanwhile. @default '2s'
   */
  readonly settle?: Duration | undefined
}

/** @throws CacheError `ERR_CACHE_CONFIG`; TypeError for an unknown option */
export function resolveFailoverOptions(options: FailoverOptions): FailoverSettings {
  checkOptionNames('failover', options, { breaker: true, journal: true, settle: true })
  const { breaker = {}, journal = 100_000, settle = '2s' } = options
  checkOptionNames('failover breaker', breaker, {
    failures: true,
    calls: true,
    window: true,
    probe: true,
  })
  const { failures: share = 0.5, calls = 10, window = '5s', probe = '1s' } = breaker
  if (!(share > 0 && share <= 1)) {
    throw configError(`failover: failures must be a number above 0 and at most 1, not ${share}.`)
  }
  return {
    share,
    calls: checkInteger('failover: calls', calls, 1),
    windowMs: checkTimeout('failover: window', window),
    probeMs: checkTimeout('failover: probe', probe),
    journal: checkInteger('failover: journal', journal, 1),
    settleMs: checkTimeout('failover: settle', settle),
  }
}
