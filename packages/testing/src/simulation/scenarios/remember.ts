import type { Cache } from '@stowage/core'
import fc from 'fast-check'
import { type FoundValue, judgeLoads, type Load, type RememberCall } from '../judges/loads.ts'
import type { ProcessContext, Program, Scenario } from './scenario.ts'

const keys = ['key0', 'key1', 'key2']
const base = {
  key: fc.constantFrom(...keys),
  inNamespace: fc.nat({ max: 4 }).map((draw) => draw === 4),
}
const remembering = fc.record({
  ...base,
  op: fc.constant('remember'),
  loadMs: fc.nat({ max: 20 }),
  fails: fc.nat({ max: 9 }).map((draw) => draw === 9),
  nested: fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...keys) },
  ),
})
const other = fc.record({
  ...base,
  op: fc.constantFrom('get', 'get', 'set', 'add', 'update', 'delete', 'delete', 'clear'),
})
const crowd = fc.record({ ...base, op: fc.constant('crowd') })

/** Loads, and writes that fall into them. */
export const remember: Scenario<RememberCall> = {
  name: 'remember',
  summary:
    'loads that overlap with writes: one load at a time, and no loaded value outlives a later write',
  traits: fc.record({ scan: fc.boolean(), ordered: fc.boolean(), nodes: fc.constantFrom(1, 3) }),
  call: fc.oneof(
    { weight: 60, arbitrary: remembering },
    { weight: 39, arbitrary: other },
    { weight: 1, arbitrary: crowd },
  ) as unknown as fc.Arbitrary<RememberCall>,
  gapMs: 4,
  // With a lost id, entries of an earlier generation may be read for two seconds.
  withoutFaults: ({ scan }) => scan === false,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill', 'clock-step'],
  lastCalls: keys.map((key) => ({ op: 'get' as const, key, inNamespace: false })),
  isOwnKey: (key) => key.includes('key'),
  start: (context) => new RememberProgram(context),
  judge: judgeLoads,
}

class RememberProgram implements Program<RememberCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache

  constructor(context: ProcessContext) {
    const { Cache, withKeyOrder, prefix, store, clock, traits } = context
    this.#context = context
    // A network without order needs the wrapper that the drivers use there.
    this.#cache = new Cache(traits.ordered ? store : withKeyOrder(store), { prefix, clock })
    this.#cache.namespace('ns')
  }

  async run(call: RememberCall): Promise<unknown> {
    const cache = call.inNamespace ? this.#cache.namespace('ns') : this.#cache
    const { key } = call
    const value = { written: this.#context.nextOrder() }
    switch (call.op) {
      case 'remember':
        return this.#remember(cache, call)
      case 'get':
        return found(await cache.get(key, { consistency: 'strong' }))
      case 'set':
        return cache.set(key, value)
      case 'add':
        return cache.add(key, value)
      case 'update':
        await cache.update(key, () => value)
        return
      case 'delete':
        return cache.delete(key)
      case 'clear':
        return cache.clear()
      case 'crowd':
        for (let count = 0; count < 1_000; count++) this.#cache.namespace(`other${count}`)
        return
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  async #remember(
    cache: Cache,
    call: RememberCall & { readonly op: 'remember' },
  ): Promise<FoundValue | undefined> {
    const order = this.#context.nextOrder()
    const value = await cache.remember(call.key, {}, async () => {
      const began = this.#beginLoad(call, { callOrder: order, invoked: order, isNested: false })
      await this.#context.clock.sleep(call.loadMs)
      if (call.nested !== undefined) await this.#rememberNested(cache, call, call.nested, order)
      if (call.fails) throw Object.assign(new Error('the load failed'), { code: 'ERR_LOAD' })
      return { load: began }
    })
    return found(value)
  }

  /** The call that the loader of another key makes. */
  async #rememberNested(
    cache: Cache,
    call: RememberCall,
    key: string,
    callOrder: number,
  ): Promise<void> {
    const invoked = this.#context.nextOrder()
    await cache.remember(key, {}, async () => ({
      load: this.#beginLoad({ ...call, key }, { callOrder, invoked, isNested: true }),
    }))
  }

  /** Writes down that a load began. Returns the number that identifies it. */
  #beginLoad(
    call: Pick<RememberCall, 'key' | 'inNamespace'>,
    origin: Pick<Load, 'callOrder' | 'invoked' | 'isNested'>,
  ): number {
    const began = this.#context.nextOrder()
    this.#loads.push({ ...origin, process: this.#context.name, key: fullKey(call), began })
    return began
  }

  get #loads(): Load[] {
    const { shared } = this.#context
    const known = shared.get('loads') as Load[] | undefined
    if (known !== undefined) return known
    const created: Load[] = []
    shared.set('loads', created)
    return created
  }
}

/** The key with its namespace. */
export function fullKey({ key, inNamespace }: Pick<RememberCall, 'key' | 'inNamespace'>): string {
  return inNamespace ? `ns/${key}` : key
}

function found(value: unknown): FoundValue | undefined {
  return value === undefined ? undefined : { load: (value as Partial<FoundValue>).load }
}
