import type { Cache } from '@stowage/core'
import {
  faultsOfFixedNodes,
  fc,
  type ProcessContext,
  type Program,
  type Scenario,
} from '@stowage/testing/simulation'
import {
  cacheOf,
  hasBus,
  innerCache,
  judgeNear,
  type NearCall,
  type NearNotes,
  nearKeys,
  nearTtl,
} from './judge-near.ts'

const key = fc.constantFrom(...nearKeys)
const inNamespace = fc.nat({ max: 3 }).map((draw) => draw === 3)
const ttl = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 200 }) },
)
const isTagged = fc.nat({ max: 2 }).map((draw) => draw === 2)
const pull = fc.record({ op: fc.constant('pull' as const), key, inNamespace })
const call = fc.oneof(
  { weight: 60, arbitrary: fc.record({ op: fc.constantFrom('get', 'getMany'), key, inNamespace }) },
  { weight: 20, arbitrary: fc.record({ op: fc.constant('set'), key, ttl, isTagged, inNamespace }) },
  { weight: 10, arbitrary: fc.record({ op: fc.constant('delete'), key, inNamespace }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('invalidate'), key, inNamespace }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('clear'), key, inNamespace }) },
) as unknown as fc.Arbitrary<NearCall>

/** Near caches over a backend and a bus that fail. Some runs have no bus, or a copy that lags behind. */
export const near: Scenario<NearCall> = {
  name: 'near',
  summary: 'the near cache: no read is older than its bound, or than a message that was delivered',
  traits: fc
    .record({
      scan: fc.constantFrom(true, true, false),
      ordered: fc.boolean(),
      ttlStep: fc.constantFrom(1, 1_000),
      backend: fc.constantFrom(
        { nodes: 1, variant: 0 },
        { nodes: 1, variant: 0 },
        { nodes: 1, variant: 0, copies: 1 },
        { nodes: 1, variant: 1, copies: 1 },
        { nodes: 3, variant: 1 },
      ),
      lagMs: fc.constantFrom(20, 200),
    })
    .map(({ backend, ...traits }) => ({ ...traits, ...backend })),
  // A process that cannot read the id of a generation uses the one that it knows.
  withoutFaults: ({ scan }) => scan === false,
  call,
  gapMs: 4,
  faults: faultsOfFixedNodes,
  lastCalls: nearKeys.map((each) => ({ op: 'get' as const, key: each, inNamespace: false })),
  isOwnKey: () => false,
  start: (context) => new NearProgram(context),
  judge: (history, { traits, shared }) =>
    judgeNear(history, traits, (shared.get('near') as NearNotes | undefined) ?? emptyNotes()),
}

/** The same while only the bus fails: then reads and writes reach the backend, and announcements get lost. */
export const bus: Scenario<NearCall> = {
  ...near,
  name: 'bus',
  summary:
    'the near cache while its bus fails and the backend does not: nothing is kept, or missed',
  traits: near.traits.map((traits) => ({ ...traits, nodes: 1, variant: 0 })),
  // What is read in order to be deleted comes from the backend, and is dropped by a conditional delete.
  call: fc.oneof({ weight: 95, arbitrary: call }, { weight: 5, arbitrary: pull }),
  faults: ['partition-bus', 'partition-bus', 'pause', 'kill'],
}

const siblingCall = fc
  .tuple(
    fc.oneof(
      { weight: 85, arbitrary: call },
      { weight: 5, arbitrary: pull },
      {
        weight: 10,
        arbitrary: fc.record({
          op: fc.constant('replace' as const),
          key,
          inNamespace,
          pauseMs: fc.nat({ max: 20 }),
        }),
      },
    ),
    fc.nat({ max: innerCache }),
  )
  .map(([each, cache]) => ({ ...each, cache }))

/** The same with several caches in each process: a write through one of them invalidates the others. */
export const siblings: Scenario<NearCall> = {
  ...near,
  name: 'siblings',
  summary: 'near caches over one store: no change through one of them is missed by another',
  call: siblingCall,
  start: (context) => new NearProgram(context, context.traits.scan ? ['', '', 'ns:'] : ['', '']),
}

class NearProgram implements Program<NearCall> {
  readonly #context: ProcessContext
  readonly #caches: readonly Cache[]
  readonly #notes: NearNotes
  #disconnections = 0

  /** @param paths what the prefixes of the caches of the process end with, by index */
  constructor(context: ProcessContext, paths: readonly string[] = ['']) {
    const { Cache: CacheClass, prefix, store, clock, shared, traits } = context
    this.#context = context
    this.#notes = (shared.get('near') as NearNotes | undefined) ?? emptyNotes()
    shared.set('near', this.#notes)
    const bus = hasBus(traits) ? context.bus : undefined
    const near = { ttl: nearTtl(traits), bus, maxEntries: 5 }
    this.#caches = paths.map(
      (path) => new CacheClass(store, { prefix: prefix + path, clock, near }),
    )
    void bus?.subscribe((keys) => this.#onMessage(keys))
    // A near cache subscribes at the first read.
    for (const cache of this.#caches) cache.get('other').catch(() => {})
  }

  async run(call: NearCall): Promise<unknown> {
    const cache = this.#cacheFor(call)
    switch (call.op) {
      case 'get':
        return this.#read(call, () => cache.get(call.key))
      case 'getMany':
        return this.#read(call, async () => (await cache.getMany([call.key, 'other']))[0])
      case 'replace':
        return this.#replace(cache, call)
      case 'delete':
        return cache.delete(call.key)
      case 'pull':
        return cache.pull(call.key)
      case 'invalidate':
        return cache.invalidateTags('tag')
      case 'clear':
        return cache.clear()
      case 'set': {
        // The value identifies the write.
        const value = this.#context.nextOrder()
        this.#notes.writes.set(value, call)
        await cache.set(call.key, value, { ttl: call.ttl, ...(call.isTagged && { tags: ['tag'] }) })
        return value
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#caches.map((cache) => cache.close()))
  }

  #cacheFor(call: NearCall): Cache {
    const index = cacheOf(call, this.#context.traits)
    const cache = this.#caches[index] as Cache
    return call.inNamespace && index !== innerCache ? cache.namespace('ns') : cache
  }

  async #replace(cache: Cache, call: NearCall & { readonly op: 'replace' }): Promise<unknown> {
    const { clock, nextOrder } = this.#context
    const { value: seen, replace } = await cache.snapshot(call.key)
    const snapshot = { value: seen, readAt: nextOrder(), replacedFrom: Infinity }
    this.#notes.snapshots.set(call, snapshot)
    await clock.sleep(call.pauseMs)
    const value = nextOrder()
    snapshot.replacedFrom = value
    this.#notes.writes.set(value, call)
    return (await replace(value)) ? value : undefined
  }

  /** While a process is separated, no read can have reached the backend: its result would come from the near cache. */
  async #read(call: NearCall, read: () => Promise<unknown>): Promise<unknown> {
    const { bus, name, traits, now } = this.#context
    const wasConnected = bus?.connected
    const [startedAt, disconnections] = [now(), this.#disconnections]
    if (!this.#isServing(cacheOf(call, traits))) this.#notes.bypassing.add(call)
    const value = await read()
    if (disconnections !== this.#disconnections) this.#notes.bypassing.add(call)
    const isServed = wasConnected === false && bus?.connected === false && now() === startedAt
    if (hasBus(traits) && isServed && value !== undefined) {
      this.#notes.problem ??= `${name} returned ${call.key} while the bus was disconnected.`
    }
    return value
  }

  #isServing(cache: number): boolean {
    return this.#caches[cache]?.near?.stats.serving === true
  }

  #onMessage(keys: readonly string[] | undefined): void {
    const { name, nextOrder } = this.#context
    if (keys === undefined) this.#disconnections++
    for (const cache of this.#caches.keys()) {
      if (!this.#isServing(cache)) continue
      this.#notes.deliveries.push({ process: name, cache, keys, order: nextOrder() })
    }
  }
}

function emptyNotes(): NearNotes {
  return {
    writes: new Map(),
    deliveries: [],
    bypassing: new Set(),
    snapshots: new Map(),
    problem: undefined,
  }
}
