import type { History, JudgeContext } from '@stowage/testing/simulation'
import {
  type Consumption,
  type LimitCall,
  LimitLog,
  type LimitPolicyName,
  limitKeys,
  limitPolicies,
  singleKey,
  slotLimit,
  unitLimit,
  windowMs,
} from './limit-history.ts'

/**
 * How much the times of two processes may differ that have read the clock of the backend, in milliseconds: a reply is used
 * that took up to 250 ms, and their clocks drift apart.
 */
const timeErrorMs = 280
/** Some real backends know the time in whole seconds. */
const realTimeErrorMs = timeErrorMs + 1_000
const epsilon = 1e-3

/** Judges that no more units are consumed, and no more slots used, than the limits allow; without faults also no fewer. */
export function judgeLimits(
  history: History<LimitCall>,
  { shared }: JudgeContext,
): string | undefined {
  const log = LimitLog.of(shared)
  for (const policy of limitPolicies) {
    for (const key of limitKeys) {
      const all = log.consumptions.filter((each) => each.policy === policy && each.key === key)
      const problem = judgeKey(policy, key, all, history)
      if (problem !== undefined) return `${policy}: ${problem}`
    }
  }
  return judgeSlots(log, history) ?? judgeErrors(history)
}

function judgeKey(
  policy: LimitPolicyName,
  key: string,
  all: readonly Consumption[],
  history: History<LimitCall>,
): string | undefined {
  const extra = extraUnits(policy, key, history)
  // Units that were given back may be consumed at any later time.
  if (extra === Infinity) return undefined
  const errorMs = history.isRealTime ? realTimeErrorMs : timeErrorMs
  if (policy === 'bucket') return judgeRate(all, extra, errorMs)
  return (
    judgeCounters(all, extra) ??
    judgeInterval(all, extra, errorMs) ??
    (policy === 'sliding' && extra === 0 ? judgeSliding(all) : undefined) ??
    (policy === 'fixed' && extra === 0 ? judgeMinimum(key, all, history) : undefined)
  )
}

/** How many units may be consumed in addition to the limit: those given back. `Infinity` after a reset or a loss. */
function extraUnits(
  policy: LimitPolicyName,
  key: string,
  { entries, losses }: History<LimitCall>,
): number {
  if (losses.some((loss) => loss.key.includes('~limit:') && loss.key.endsWith(`:${key}`))) {
    return Infinity
  }
  let extra = 0
  for (const { call } of entries) {
    if (call.policy !== policy || call.key !== key) continue
    if (call.op === 'reset') return Infinity
    if (call.op === 'undo') extra += call.cost
  }
  return extra
}

function judgeCounters(all: readonly Consumption[], extra: number): string | undefined {
  for (const [counter, units] of unitsByCounter(all)) {
    if (units > unitLimit + extra) return `${units} units were consumed of ${counter}.`
  }
  return undefined
}

/** An interval that is a little shorter than a window overlaps with two of them. */
function judgeInterval(
  all: readonly Consumption[],
  extra: number,
  errorMs: number,
): string | undefined {
  for (const { invokedAt: from } of all) {
    const until = from + windowMs - errorMs
    const units = sum(all.filter((each) => isWithin(each, from, until)))
    if (units <= 2 * unitLimit + extra) continue
    return `${units} units were consumed from ${from} ms to ${until} ms.`
  }
  return undefined
}

/** The units of the window before count by the share of it that is less than a window ago. */
function judgeSliding(all: readonly Consumption[]): string | undefined {
  for (const call of all) {
    if (!call.allowed) continue
    const before = all.filter((each) => each.allowed && each.settled < call.invoked)
    const current = sum(before.filter(({ counter }) => counter === call.counter))
    const previous = sum(before.filter(({ counter }) => counter === counterBefore(call.counter)))
    const used = previous * (call.remainingMs / windowMs) + current + call.cost
    if (used <= unitLimit + epsilon) continue
    return `${call.process} consumed ${call.cost} of ${call.key} at ${call.settledAt} ms, which makes ${used}.`
  }
  return undefined
}

/** In any interval, a bucket allows its capacity and what is restored meanwhile. */
function judgeRate(
  all: readonly Consumption[],
  extra: number,
  errorMs: number,
): string | undefined {
  const rate = unitLimit / windowMs
  for (const { invokedAt: from } of all) {
    for (const { settledAt: until } of all) {
      if (until < from) continue
      const units = sum(all.filter((each) => isWithin(each, from, until)))
      const allowed = unitLimit + extra + (until - from + errorMs) * rate
      if (units > allowed + epsilon) {
        return `${units} units were consumed from ${from} ms to ${until} ms.`
      }
    }
  }
  return undefined
}

/** Without faults, single units are denied only when the limit is reached. */
function judgeMinimum(
  key: string,
  all: readonly Consumption[],
  { isFaultless }: History<LimitCall>,
): string | undefined {
  if (!isFaultless || key !== singleKey) return undefined
  for (const [counter, units] of unitsByCounter(all)) {
    const calls = all.filter((each) => each.counter === counter).length
    if (units !== Math.min(calls, unitLimit)) {
      return `${units} of ${calls} units were consumed of ${counter}.`
    }
  }
  return undefined
}

function judgeSlots({ slots }: LimitLog, { losses }: History<LimitCall>): string | undefined {
  if (losses.some(({ key }) => key.includes(':c:'))) return undefined
  for (const slot of slots) {
    const others = slots.filter(
      (each) => each.acquired < slot.acquired && each.lastActive > slot.acquired,
    )
    if (others.length < slotLimit) continue
    return `${slot.process} acquired a slot at ${slot.acquiredAt} ms, while ${others.length} were in use.`
  }
  return undefined
}

/** With a decision for failures, no call fails. */
function judgeErrors({ entries }: History<LimitCall>): string | undefined {
  const failed = entries.find(
    ({ call, outcome }) =>
      call.op === 'consume' && call.onError !== 'throw' && outcome?.status === 'rejected',
  )
  return failed && `${failed.process} ${JSON.stringify(failed.call)} failed.`
}

function unitsByCounter(all: readonly Consumption[]): ReadonlyMap<string, number> {
  const units = new Map<string, number>()
  for (const { counter, allowed, cost } of all) {
    units.set(counter, (units.get(counter) ?? 0) + (allowed ? cost : 0))
  }
  return units
}

function isWithin({ allowed, invokedAt, settledAt }: Consumption, from: number, until: number) {
  return allowed && invokedAt >= from && settledAt <= until
}

function sum(consumptions: readonly Consumption[]): number {
  return consumptions.reduce((units, { cost, allowed }) => units + (allowed ? cost : 0), 0)
}

/** The counter of the window before: `…:<number in base 36>:<key>`. */
function counterBefore(counter: string): string {
  const parts = counter.split(':')
  const at = parts.length - 2
  parts[at] = (Number.parseInt(parts[at] as string, 36) - 1).toString(36)
  return parts.join(':')
}
