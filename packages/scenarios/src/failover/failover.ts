import { type Cache, channels, type FailoverEvent } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { strongRead } from '@stowage/core/internal'
import { ReferenceStore, type StoredItem } from '@stowage/testing'
import { fc, type ProcessContext, type Scenario } from '@stowage/testing/simulation'
import { type FailoverCall, hasCommonFallback, type PhaseChange } from './failover-history.ts'
import { judgeFailover } from './judge-failover.ts'

/** When virtual time begins, by the clock of the primary store. */
const epoch = Date.UTC(2026, 0, 1)
const keys = ['key0', 'key1', 'key2'] as const
const key = fc.constantFrom(...keys)
const tag = fc.constantFrom(undefined, undefined, 'tag0')

/** Outages of a primary store, behind which a store of each process, or a common one, steps in. */
export const failover: Scenario<FailoverCall> = {
  name: 'failover',
  summary: 'outages of a primary store: what was changed meanwhile is never read afterwards',
  traits: fc.record({
    scan: fc.boolean(),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 1, 3),
    /** Bit 0: whether the fallback store is common to all processes. Bit 1: whether the journal is small. */
    variant: fc.nat({ max: 3 }),
  }),
  call: fc.oneof(
    { weight: 8, arbitrary: fc.record({ op: fc.constantFrom('get', 'get', 'getMany'), key }) },
    { weight: 5, arbitrary: fc.record({ op: fc.constant('set'), key, tag }) },
    {
      weight: 5,
      arbitrary: fc.record({ op: fc.constantFrom('delete', 'touch', 'add', 'update'), key }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('clear', 'invalidate') }) },
  ) as unknown as fc.Arbitrary<FailoverCall>,
  // So that there are calls in each phase of an outage, and pauses in which all processes return from it.
  gapMs: 15,
  groupMs: 500,
  maxCalls: 120,
  faults: ['restart', 'restart', 'restart', 'partition', 'kill', 'clock-step'],
  lastCalls: keys.map((each) => ({ op: 'get' as const, key: each })),
  isOwnKey: (name, value) => name.includes('key') && !Array.isArray(value) && !isStored(value),
  start(context) {
    const { Cache, prefix, store, clock, traits, nextOrder } = context
    recordPhases(context)
    // Its name tells the events of the processes apart.
    const primary = Object.assign(
      wrapStore(store, (_operation, call) => call()),
      { name: context.name },
    )
    const failing = context.failover([primary, fallbackOf(context)], {
      breaker: { calls: 4, window: 1_000, probe: 100 },
      journal: (traits.variant & 2) === 0 ? 100 : 1,
      settle: 300,
    })
    const cache = new Cache(failing, { prefix, clock })
    return {
      run: (call) => run(cache, call, nextOrder),
      close: () => cache.close(),
    }
  },
  judge: judgeFailover,
}

/** Records the phases of this process in `shared`. */
function recordPhases({ name, shared, nextOrder, now, onEnd }: ProcessContext): void {
  const phases = (shared.get('phases') ?? []) as PhaseChange[]
  shared.set('phases', phases)
  const record = (event: unknown) => {
    const { store, phase } = event as FailoverEvent
    if (store === name) phases.push({ process: name, phase, order: nextOrder(), at: now() })
  }
  channels.failover.subscribe(record)
  onEnd(() => channels.failover.unsubscribe(record))
}

function fallbackOf({ traits, clock, shared, now }: ProcessContext): ByteStore {
  const { scan } = traits
  if (!hasCommonFallback(traits)) {
    return Object.assign(new ReferenceStore({ clock, scan }), { processLocal: true })
  }
  const items = (shared.get('fallback') ?? new Map()) as Map<string, StoredItem>
  shared.set('fallback', items)
  const serverTime = () => epoch + Math.floor(now())
  const serverClock = { now: serverTime, sleep: async () => {} }
  const common = Object.assign(new ReferenceStore({ clock: serverClock, scan, items }), {
    time: serverTime,
  })
  return wrapStore<ByteStore>(common, async (_operation, call) => {
    await undefined
    return call()
  })
}

async function run(cache: Cache, call: FailoverCall, nextOrder: () => number): Promise<unknown> {
  switch (call.op) {
    case 'get':
      return cache.get(call.key, strongRead)
    case 'getMany':
      return cache.getMany([call.key], strongRead).then(([value]) => value)
    case 'delete':
    case 'touch':
      return cache[call.op](call.key)
    case 'clear':
      return cache.clear()
    case 'invalidate':
      return cache.invalidateTags('tag0')
    default:
      return write(cache, call, nextOrder())
  }
}

/** Resolves to the value, which identifies the write, or to `undefined` if nothing was written. */
async function write(
  cache: Cache,
  call: Extract<FailoverCall, { op: 'set' | 'add' | 'update' }>,
  value: number,
): Promise<number | undefined> {
  if (call.op === 'set') {
    await cache.set(call.key, value, call.tag === undefined ? {} : { tags: [call.tag] })
  } else if (call.op === 'update') await cache.update(call.key, () => value)
  else if (!(await cache.add(call.key, value))) return undefined
  return value
}

function isStored(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'bytes' in value
}
