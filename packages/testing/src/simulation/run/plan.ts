import fc from 'fast-check'
import type { BackendTraits } from '../backend/backend.ts'
import type { FaultKind, Scenario } from '../programs/scenario.ts'
import type { ProcessClock } from '../world/simulated-process.ts'

export interface PlannedCall<Call> {
  /** Virtual milliseconds. */
  readonly at: number
  readonly process: number
  /** Decides what the network does to the messages of the call: 0 for nothing. */
  readonly luck: number
  readonly call: Call
}

export interface PlannedFault {
  readonly at: number
  readonly kind: FaultKind
  /** Which process, node, copy or item. */
  readonly target: number
  readonly forMs: number
}

/** Everything that a run depends on. */
export interface Plan<Call = unknown> {
  readonly seed: number
  readonly traits: Partial<BackendTraits>
  readonly clocks: readonly ProcessClock[]
  readonly isFaultless: boolean
  readonly calls: readonly PlannedCall<Call>[]
  readonly faults: readonly PlannedFault[]
}

export interface PlanOptions {
  readonly processes: number
  /** Maximum number of calls, of all processes together. */
  readonly maxCalls: number
  /** Minimum number of calls. @default 1 */
  readonly minCalls?: number | undefined
  /** Whether to leave out all faults. @default in a quarter of the runs */
  readonly isFaultless?: boolean | undefined
}

const maxFaults = 6
const groups = 5
const tickMs = 40

/** The plans of a scenario. They shrink to fewer calls and faults, and to messages that are not disturbed. */
export function plans<Call>(
  scenario: Scenario<Call>,
  { processes, maxCalls, minCalls = 1, isFaultless }: PlanOptions,
): fc.Arbitrary<Plan<Call>> {
  const span = maxCalls * (scenario.gapMs ?? 3)
  const at = momentOf(span, scenario)
  const call = fc.record({
    at,
    process: fc.nat({ max: processes - 1 }),
    luck: fc.oneof(fc.constant(0), fc.nat({ max: 0xffffffff })),
    call: scenario.call,
  })
  // Without faults, the kind is never drawn, but must exist.
  const kinds: readonly FaultKind[] = scenario.faults.length === 0 ? ['pause'] : scenario.faults
  const fault = fc.record({
    at,
    kind: fc.constantFrom(...kinds),
    target: fc.nat({ max: 1_000 }),
    forMs: fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 2_000 })),
  })
  const clock = fc.record({
    offsetMs: fc.oneof(fc.constant(0), fc.integer({ min: -600_000, max: 600_000 })),
    drift: fc.constantFrom(0, 0.001, -0.001),
  })
  const plan: fc.Arbitrary<Plan<Call>> = fc.record({
    seed: fc.noShrink(fc.nat({ max: 0xffffffff })),
    traits: scenario.traits,
    clocks: fc.array(clock, { minLength: processes, maxLength: processes }),
    isFaultless:
      isFaultless === undefined
        ? fc.nat({ max: 3 }).map((draw) => draw === 0)
        : fc.constant(isFaultless),
    calls: fc.array(call, { minLength: minCalls, maxLength: maxCalls, size: 'max' }),
    faults: fc.array(fault, {
      maxLength: scenario.faults.length === 0 ? 0 : maxFaults,
      size: 'max',
    }),
  })
  return fc.noBias(
    plan.map((drawn) =>
      scenario.withoutFaults?.(drawn.traits) === true ? { ...drawn, isFaultless: true } : drawn,
    ),
  )
}

/** Moments of a run: evenly distributed, in groups with long pauses between them, or the same for several calls. */
function momentOf(span: number, { groupMs, ticks = false }: Scenario): fc.Arbitrary<number> {
  if (ticks) return fc.nat({ max: Math.ceil(span / tickMs) }).map((tick) => tick * tickMs)
  if (groupMs === undefined) return fc.nat({ max: span })
  const inGroup = fc.nat({ max: Math.max(10, Math.floor(span / groups)) })
  return fc
    .tuple(fc.nat({ max: groups - 1 }), inGroup)
    .map(([group, offset]) => group * groupMs + offset)
}
