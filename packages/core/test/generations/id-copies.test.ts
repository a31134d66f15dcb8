import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import {
  createIdAfter,
  type GenerationId,
  isNewer,
  newestOf,
  parseId,
} from '../../src/generations/generation-id.ts'
import { IdCopies } from '../../src/generations/id-copies.ts'
import type { AnyStore, KeyPlacement } from '../../src/store.ts'

const id = (number: number, end = 'a'): GenerationId => ({
  number,
  text: `${number.toString(36)}.${end.repeat(8)}`,
})
const keyOf = (copy: number) => `p~generation${copy === 0 ? '' : copy}`

describe('an id', () => {
  test('is newer than the one before, and than the time', () => {
    expect(createIdAfter(undefined, 5).number).toBe(5)
    expect(createIdAfter(undefined, 0).number).toBe(1)
    expect(createIdAfter(id(10), 5).number).toBe(11)
    expect(createIdAfter(id(10), 50).number).toBe(50)
    const created = createIdAfter(id(10), 50)
    expect(parseId(created.text)).toEqual(created)
  })

  test.each(['', 'a', 'a.short', 'A.aaaaaaaa', 'a.aaaaaaaa.', 'zzzzzzzzzzz.aaaaaaaa'])(
    'is not "%s"',
    (text) => {
      expect(parseId(text)).toBeUndefined()
    },
  )

  test('is compared by its number, and then by its text', () => {
    expect([isNewer(id(2), id(1)), isNewer(id(1), id(2))]).toEqual([true, false])
    expect([isNewer(id(1, 'b'), id(1)), isNewer(id(1), id(1, 'b'))]).toEqual([true, false])
    expect([isNewer(id(2), id(1, 'b')), isNewer(id(1), id(1))]).toEqual([true, false])
    expect(newestOf([undefined, id(1), id(3), undefined, id(2)])).toEqual(id(3))
    expect(newestOf([undefined])).toBeUndefined()
  })
})

interface Setting {
  readonly durable?: boolean
  readonly placement?: KeyPlacement
}

/** Copies in a store of which some keys are unreachable. A test calls something before a call takes effect. */
function setUp({ durable = false, placement }: Setting = {}) {
  const backend = referenceStore()
  const calls: string[] = []
  const down = new Set<string>()
  const before = new Map<string, () => unknown>()
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    const [key, options] = [String(args[0]), args[1] as { consistency?: string } | undefined]
    calls.push(`${operation} ${key}${options?.consistency === 'strong' ? ' strong' : ''}`)
    // Throws, as a store may: not a rejection.
    if (down.has(key)) throw new Error(`no reply for ${key}`)
    before.get(operation)?.()
    return call()
  })
  const placed = { ...store, durable, placement }
  const ids = new IdCopies(placed as unknown as AnyStore, 'p')
  const put = (copy: number, { text }: GenerationId) => void backend.set(keyOf(copy), text)
  const textAt = (copy: number) => {
    const item = backend.get(keyOf(copy))
    return item === undefined ? undefined : String(item)
  }
  const texts = () => [0, 1, 2].map(textAt)
  const lose = (...copies: number[]) => {
    for (const copy of copies) down.add(keyOf(copy))
  }
  return { ids, backend, placed, calls, before, put, textAt, texts, lose }
}

const all = [0, 1, 2]
const spares = { spares: true }

describe('a reading', () => {
  test('of nothing has three copies, which every process reads', async () => {
    const { ids, calls } = setUp()
    expect(await ids.read()).toEqual({
      newest: undefined,
      isComplete: true,
      hasOlder: false,
      copies: all.map((copy) => ({ key: keyOf(copy), item: undefined, isShared: true })),
      failure: undefined,
    })
    expect(calls).toEqual(all.map((copy) => `get ${keyOf(copy)} strong`))
  })

  test('states why a copy could not be read', async () => {
    const { ids, lose } = setUp()
    lose(1)
    const { failure } = await ids.read()
    expect(failure).toMatchObject({ message: `no reply for ${keyOf(1)}` })
  })

  test.each([
    [[1, 1, 1], true, false],
    [[1, 1, undefined], false, false],
    [[undefined, 1, 1], false, false],
    [[2, 2, 1], false, true],
    [[undefined, undefined, 1], false, false],
  ])(
    'of the ids %o is complete: %s, and has older ones: %s',
    async (numbers, isComplete, hasOlder) => {
      const { ids, put } = setUp()
      for (const [copy, number] of numbers.entries())
        if (number !== undefined) put(copy, id(number))
      const newest = id(Math.max(...numbers.map((number = 0) => number)))
      expect(await ids.read()).toMatchObject({ newest, isComplete, hasOlder })
    },
  )

  test('ignores foreign values', async () => {
    const { ids, put, backend } = setUp()
    await backend.set(keyOf(0), 'foreign')
    put(1, id(1))
    expect(await ids.read()).toMatchObject({ newest: id(1), isComplete: false, hasOlder: false })
  })

  test('needs one copy', async () => {
    const { ids, put, lose } = setUp()
    put(2, id(1))
    lose(0, 1)
    const reading = await ids.read()
    expect(reading).toMatchObject({ newest: id(1), isComplete: true })
    expect(reading.copies.map(({ key }) => key)).toEqual([keyOf(2)])
    expect(reading.failure).toMatchObject({ message: `no reply for ${keyOf(0)}` })
    lose(2)
    await expect(ids.read()).rejects.toThrow(`no reply for ${keyOf(0)}`)
  })

  test('of a starting process uses the first set that is reachable', async () => {
    const { ids, put, lose, calls } = setUp()
    put(0, id(1))
    put(3, id(9))
    expect((await ids.read(spares)).newest).toEqual(id(1))
    expect(calls).toEqual([...Array(9).keys()].map((copy) => `get ${keyOf(copy)} strong`))
    lose(...all)
    const reading = await ids.read(spares)
    expect(reading.newest).toEqual(id(9))
    expect(reading.copies.map(({ key }) => key)).toEqual([3, 4, 5].map(keyOf))
    await expect(ids.read()).rejects.toThrow('no reply')
  })

  test('of a durable store has one copy', async () => {
    const { ids, calls, lose } = setUp({ durable: true })
    expect((await ids.read(spares)).copies).toHaveLength(1)
    expect(calls).toEqual([`get ${keyOf(0)} strong`])
    lose(0)
    await expect(ids.read(spares)).rejects.toThrow('no reply')
  })
})

describe('on several nodes', () => {
  /** A copy whose number has this rest is on this node; the shared ones are on the first node. */
  const placementOf = (nodeCount: number): KeyPlacement => ({
    nodeCount,
    nodeOf: (key) => {
      const number = Number(/\d*$/.exec(key)?.[0])
      return number < 9 ? 0 : number % nodeCount
    },
  })

  test.each([
    [1, []],
    [2, [9]],
    [3, [10, 11]],
    [5, [9, 11]],
  ])('%d of them, further copies are %o', async (nodeCount, further) => {
    const { ids } = setUp({ placement: placementOf(nodeCount) })
    const { copies } = await ids.read()
    expect(copies.map(({ key }) => key)).toEqual([...all, ...further].map(keyOf))
    expect(copies.map(({ isShared }) => isShared)).toEqual([
      ...all.map(() => true),
      ...further.map(() => false),
    ])
    expect((await ids.read(spares)).copies).toHaveLength(3 + further.length)
  })

  test('those of the spare sets have none', async () => {
    const { ids, lose } = setUp({ placement: placementOf(2) })
    lose(...all, 9)
    const { copies } = await ids.read(spares)
    expect(copies.map(({ key }) => key)).toEqual([3, 4, 5].map(keyOf))
  })

  test('a hundred keys are tried', async () => {
    const tried: string[] = []
    const nodeOf = (key: string) => void tried.push(key)
    await setUp({ placement: { nodeCount: 9, nodeOf } }).ids.read()
    const last = Number(/\d+$/.exec(tried.at(-1) ?? '')?.[0])
    expect([tried.length, last]).toEqual([3 + 100, 108])
  })

  test('they are found again when the nodes change, and only then', async () => {
    const { ids, placed } = setUp({ placement: placementOf(1) })
    expect((await ids.read()).copies).toHaveLength(3)
    const changed = placementOf(3)
    let asked = 0
    placed.placement = {
      nodeCount: 3,
      nodeOf: (key) => {
        asked++
        return changed.nodeOf(key)
      },
    }
    expect((await ids.read()).copies).toHaveLength(5)
    const before = asked
    expect((await ids.read()).copies).toHaveLength(5)
    expect([before > 0, asked]).toEqual([true, before])
  })

  test('a clear needs a copy that every process reads, and no other one', async () => {
    const { ids, textAt, lose } = setUp({ placement: placementOf(3) })
    const clear = async (next: GenerationId) => ids.raiseOnClear(next, await ids.read())
    expect(await clear(id(1))).toEqual(id(1))
    expect([0, 1, 2, 10, 11].map(textAt)).toEqual(Array(5).fill(id(1).text))
    const reading = await ids.read()
    lose(10, 11)
    expect(await ids.raiseOnClear(id(2), reading)).toEqual(id(2))
    lose(0, 1)
    expect(await clear(id(3))).toEqual(id(3))
    expect(textAt(2)).toBe(id(3).text)
  })

  test('a clear rejects without one, and finds the newer id of a further copy', async () => {
    const { ids, lose, put, textAt } = setUp({ placement: placementOf(3) })
    put(10, id(9))
    expect(await ids.raiseOnClear(id(2), await ids.read())).toEqual(id(9))
    lose(...all)
    await expect(ids.raiseOnClear(id(10), await ids.read())).rejects.toThrow(
      `no reply for ${keyOf(0)}`,
    )
    expect(textAt(10)).toBe(id(9).text)
  })
})

describe('create', () => {
  const create = async ({ ids }: ReturnType<typeof setUp>, next: GenerationId) =>
    ids.create(next, (await ids.read()).copies)

  test('stores the id in all copies', async () => {
    const setting = setUp()
    expect(await create(setting, id(1))).toEqual(id(1))
    expect(setting.texts()).toEqual(Array(3).fill(id(1).text))
    expect(await setting.ids.create(id(2), [])).toEqual(id(2))
  })

  test('of a durable store stores one copy', async () => {
    const setting = setUp({ durable: true })
    expect(await create(setting, id(1))).toEqual(id(1))
    expect(setting.texts()).toEqual([id(1).text, undefined, undefined])
    const { copies } = await setting.ids.read()
    setting.lose(0)
    await expect(
      setting.ids.create(id(2), [{ ...copies[0], item: undefined } as never]),
    ).rejects.toThrow('no reply')
  })

  test.each([
    ['an older', 1],
    ['a newer', 9],
  ])(
    'uses %s id that another process has stored in the first copy meanwhile',
    async (_, number) => {
      const setting = setUp()
      const { copies } = await setting.ids.read()
      setting.put(0, id(number))
      expect(await setting.ids.create(id(5), copies)).toEqual(id(number))
      expect(setting.texts()).toEqual(Array(3).fill(id(number).text))
    },
  )

  test('writes the others after the first one, which decides', async () => {
    const setting = setUp()
    const { copies } = await setting.ids.read()
    setting.calls.length = 0
    await setting.ids.create(id(5), copies)
    expect(setting.calls).toEqual(all.map((copy) => `add ${keyOf(copy)}`))
    const next = setUp()
    const read = await next.ids.read()
    next.lose(1, 2)
    expect(await next.ids.create(id(5), read.copies)).toEqual(id(5))
  })

  test('lets the next copy decide without the first one, and rejects without any', async () => {
    const setting = setUp()
    const { copies } = await setting.ids.read()
    setting.lose(0)
    setting.put(1, id(1))
    expect(await setting.ids.create(id(5), copies)).toEqual(id(1))
    expect(setting.texts()).toEqual([undefined, id(1).text, id(1).text])
    setting.lose(1, 2)
    await expect(setting.ids.create(id(5), copies)).rejects.toThrow(`no reply for ${keyOf(2)}`)
  })
})

describe('raise', () => {
  const raise = async ({ ids }: ReturnType<typeof setUp>, next: GenerationId) =>
    ids.raise(next, (await ids.read()).copies)

  test('replaces missing and older ids, and keeps newer ones', async () => {
    const setting = setUp()
    setting.put(0, id(1))
    setting.put(1, id(9))
    setting.calls.length = 0
    expect(await raise(setting, id(5))).toEqual(id(9))
    expect(setting.texts()).toEqual([id(5).text, id(9).text, id(5).text])
    expect(setting.calls.slice(3)).toEqual([`compareAndSet ${keyOf(0)}`, `add ${keyOf(2)}`])
  })

  test('does not write an id that is there', async () => {
    const setting = setUp()
    for (const copy of all) setting.put(copy, id(5))
    expect(await raise(setting, id(5))).toEqual(id(5))
    expect(setting.calls.filter((call) => !call.startsWith('get'))).toEqual([])
  })

  test('needs one copy', async () => {
    const setting = setUp()
    const { copies } = await setting.ids.read()
    setting.lose(0, 2)
    expect(await setting.ids.raise(id(5), copies)).toEqual(id(5))
    setting.lose(1)
    await expect(setting.ids.raise(id(5), copies)).rejects.toThrow(`no reply for ${keyOf(0)}`)
  })

  test('reads a copy again from the primary that another process has replaced', async () => {
    const setting = setUp({ durable: true })
    setting.put(0, id(1))
    const { copies } = await setting.ids.read()
    setting.put(0, id(2))
    setting.calls.length = 0
    expect(await setting.ids.raise(id(5), copies)).toEqual(id(5))
    const [swap, read] = [`compareAndSet ${keyOf(0)}`, `get ${keyOf(0)} strong`]
    expect(setting.calls).toEqual([swap, read, swap])
    setting.put(0, id(9))
    expect(await setting.ids.raise(id(6), copies)).toEqual(id(9))
  })

  test('overwrites what can be neither added nor read, at the fifth attempt', async () => {
    const setting = setUp({ durable: true })
    const { copies } = await setting.ids.read()
    await setting.backend.set(keyOf(0), 'foreign')
    setting.before.set('add', () => setting.backend.set(keyOf(0), 'foreign'))
    setting.before.set('get', () => setting.backend.delete(keyOf(0)))
    setting.calls.length = 0
    expect(await setting.ids.raise(id(5), copies)).toEqual(id(5))
    expect(setting.calls.filter((call) => call.startsWith('add'))).toHaveLength(5)
    expect(setting.calls.at(-1)).toBe(`set ${keyOf(0)}`)
    expect(setting.textAt(0)).toBe(id(5).text)
    await setting.backend.set(keyOf(0), 'foreign')
    setting.placed.set = () => Promise.reject(new Error('not overwritten'))
    await expect(setting.ids.raise(id(5), copies)).rejects.toThrow('not overwritten')
  })
})
