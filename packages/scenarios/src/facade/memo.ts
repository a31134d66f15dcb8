import type { Cache } from '@stowage/core'
import { fc, type ProcessContext, type Program, type Scenario } from '@stowage/testing/simulation'
import { judgeMemo, type MemoCall, type MemoStep, type TakenStep } from './judge-memo.ts'

const keys: readonly string[] = ['key0', 'key1']
const step = fc.record({
  op: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('get', 'get', 'getMany') },
    { weight: 1, arbitrary: fc.constant('strong get') },
    { weight: 2, arbitrary: fc.constantFrom('set', 'update', 'delete') },
  ),
  key: fc.constantFrom(...keys),
  isAwaited: fc.boolean(),
  pauseMs: fc.nat({ max: 5 }),
}) as fc.Arbitrary<MemoStep>

/** Requests that read and write the same keys, each in a scope of a memo. */
export const memo: Scenario<MemoCall> = {
  name: 'memo',
  summary: 'memo: a scope repeats its reads, but none from before one of its writes',
  traits: fc.record({
    scan: fc.constant(true),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
  }),
  call: fc.record({ steps: fc.array(step, { minLength: 2, maxLength: 6 }) }),
  gapMs: 10,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill'],
  maxCalls: 20,
  isOwnKey: () => false,
  start: (context) => new MemoProgram(context),
  judge: (history, { shared }) => judgeMemo(history, stepsIn(shared)),
}

class MemoProgram implements Program<MemoCall> {
  readonly #context: ProcessContext
  readonly #cache: Cache
  readonly #taken: TakenStep[]

  constructor(context: ProcessContext) {
    const { Cache: CacheClass, memo: memoize, store, prefix, clock, shared } = context
    this.#context = context
    this.#cache = new CacheClass(memoize(store), { prefix, clock })
    this.#taken = stepsIn(shared)
    shared.set('steps', this.#taken)
  }

  async run(call: MemoCall): Promise<void> {
    const { memo: memoize, clock } = this.#context
    await memoize.scope(async () => {
      const taken: Promise<void>[] = []
      for (const each of call.steps) {
        const taking = this.#take(call, each)
        taken.push(taking)
        if (each.isAwaited) await taking
        await clock.sleep(each.pauseMs)
      }
      await Promise.all(taken)
    })
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  async #take(call: MemoCall, { ...given }: MemoStep): Promise<void> {
    const { nextOrder } = this.#context
    const began = nextOrder()
    const isStored = given.op === 'set' || given.op === 'update'
    const taken: TakenStep = {
      ...given,
      call,
      began,
      ended: undefined,
      value: isStored ? began : undefined,
    }
    this.#taken.push(taken)
    try {
      await this.#make(taken)
      taken.ended = nextOrder()
    } catch {
      // A call that has failed may have been executed.
    }
  }

  async #make(taken: TakenStep): Promise<void> {
    const { op, key, value } = taken
    if (op === 'set') await this.#cache.set(key, value)
    else if (op === 'update') await this.#cache.update(key, () => value)
    else if (op === 'delete') await this.#cache.delete(key)
    else if (op === 'getMany') {
      const values = await this.#cache.getMany<number>(keys)
      taken.value = values[keys.indexOf(key)]
    } else if (op === 'get') taken.value = await this.#cache.get(key)
    else taken.value = await this.#cache.get(key, { consistency: 'strong' })
  }
}

function stepsIn(shared: ReadonlyMap<string, unknown>): TakenStep[] {
  return (shared.get('steps') ?? []) as TakenStep[]
}
