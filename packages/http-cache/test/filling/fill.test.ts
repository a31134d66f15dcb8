import { describe, expect, onTestFinished, test } from 'vitest'
import { type HttpCacheErrorEvent, httpCacheChannels } from '../../src/channels.ts'
import {
  IncompleteResponseError,
  type RenderDecisions,
  type RenderFacts,
  StreamedResponseError,
} from '../../src/exchange/renderer.ts'
import type { Headers } from '../../src/headers/header-list.ts'
import type { CapturedResponse } from '../../src/response/capture.ts'
import {
  createFillId,
  decodeRecord,
  encodeRecord,
  type ResponseRecord,
} from '../../src/storage/record.ts'
import {
  body,
  capturedWith,
  failing,
  freshness,
  key,
  noFacts,
  responding,
  type Setting,
  setupFill,
  text,
} from './setup-fill.ts'

const miss = { forwarded: 'uri-miss' }
const hit = { hit: true }
const skipped = (ms: number) => [['skip', { share: false, for: ms }]]

/** A handler whose response has begun, and goes on. */
const beginning =
  (head: CapturedResponse, then?: (decisions: RenderDecisions) => void, facts = noFacts) =>
  (decisions: RenderDecisions) => {
    decisions.onHead(head, facts)
    then?.(decisions)
    return new Promise<never>(() => {})
  }

describe('a response that may be stored', () => {
  test('is sent, and then stored', async () => {
    const { clock, did, doneBy, unstored } = setupFill()
    unstored.add(key, 1_000)
    const own = { ...text, 'cache-groups': '"g"' }
    const { result } = await doneBy(responding(capturedWith(own), { tags: ['a'], ttl: 30_000 }))
    const { record, body: stored } = decodeRecord(result) ?? {}
    expect(record).toMatchObject({ status: 200, message: 'Fine', storedAt: clock.now() })
    expect(stored).toEqual(body)
    const sent = { record: expect.objectContaining({ fill: record?.fill }), body }
    expect(did).toEqual([
      'render',
      ['send', sent, { ...miss, stored: true }],
      ['ttl', 30_000],
      ['tags', 'a', 'group http://shop g'],
      ['validators', { etag: record?.fill }],
    ])
    expect(unstored.has(key)).toBe(false)
  })

  test('is not sent if its handler has done so, or if no client waits', async () => {
    const sentByHandler = async ({ onHead }: RenderDecisions) => {
      onHead(capturedWith(), noFacts)
      return { captured: capturedWith(), facts: noFacts }
    }
    const passed = setupFill()
    expect((await passed.doneBy(sentByHandler)).result).toBeDefined()
    expect(passed.done('send')).toEqual([])
    const detached = setupFill({ isDetached: true })
    await detached.doneBy(sentByHandler)
    expect(detached.done('send')).toHaveLength(1)
    const background = setupFill({ isBackground: true, isDetached: true })
    expect((await background.doneBy()).result).toBeDefined()
    expect(background.done('send')).toEqual([])
  })

  test('has all its headers for the client of its handler only', async () => {
    const { doneBy, done } = setupFill()
    const own = { ...text, 'cache-control': 'no-cache="x-a"', 'x-a': '1' }
    const { result } = await doneBy(responding(capturedWith(own)))
    const [[, sent]] = done('send') as [[string, { record: ResponseRecord }]]
    expect(sent.record.freshness.omitted).toEqual([])
    expect(decodeRecord(result)?.record).toMatchObject({ freshness: { omitted: ['x-a'] } })
  })

  test('belongs to the headers that were received', async () => {
    const { cache, doneBy, request } = setupFill({ headers: { 'x-a': '1' } })
    const respond = responding(capturedWith({ ...text, vary: 'X-A' }))
    const { result } = await doneBy((decisions) => {
      request.headers['x-a'] = '2'
      return respond(decisions)
    })
    const vary = decodeRecord(result)?.record
    expect(vary).toMatchObject({ kind: 'vary', names: ['x-a'] })
    expect(decodeRecord(await cache.get(`${key}|${vary?.fill}|1`))?.body).toEqual(body)
  })

  test('is sent as it was written, and the error reported, if it cannot be stored', async () => {
    const errors: unknown[] = []
    const note = (event: unknown) => void errors.push(event)
    httpCacheChannels.error.subscribe(note)
    onTestFinished(() => void httpCacheChannels.error.unsubscribe(note))
    const { context, done, doneBy } = setupFill()
    const error = new Error('no tags')
    context.addTags = () => {
      throw error
    }
    await expect(doneBy()).rejects.toBe(error)
    expect(done('sendCaptured')).toEqual([
      ['sendCaptured', capturedWith(), { ...miss, detail: 'store-failure' }],
    ])
    expect(errors).toEqual([{ cache: 'pages', key, error } satisfies HttpCacheErrorEvent])
  })

  test.each<[string, Setting, number]>([
    ['', {}, 200],
    [' with a 304', { stale: {} }, 304],
    [' instead of an error', { stale: {} }, 500],
  ])('is sent as it was written if what is stored cannot be sent%s', async (_, setting, status) => {
    const { done, doneBy, sender } = setupFill(setting)
    const error = new Error('no headers')
    sender.send = () => Promise.reject(error)
    await expect(doneBy(responding(capturedWith(text, { status })))).rejects.toBe(error)
    expect(done('sendCaptured')).toHaveLength(1)
    expect([...done('ttl'), ...done('skip')]).toEqual([])
  })

  test('is waited for by other requests as soon as it is sent', async () => {
    const { doneBy, unstored, sender } = setupFill()
    unstored.add(key, 1_000)
    let isMarked: unknown
    sender.send = async () => {
      isMarked = unstored.has(key)
    }
    await doneBy()
    expect(isMarked).toBe(false)
  })

  test.each([
    { isDetached: false, end: 'destroy' },
    { isDetached: true, end: 'fail' },
  ])('ends with $end if Node cannot send it either', async ({ isDetached, end }) => {
    const { context, did, done, doneBy, sender } = setupFill({ isDetached })
    context.addTags = () => {
      throw new Error('no tags')
    }
    const error = new Error('invalid message')
    sender.sendCaptured = () => {
      throw error
    }
    await expect(doneBy()).rejects.toThrow('no tags')
    expect(done(end)).toEqual([isDetached ? [end, error] : [end]])
    expect(did.at(-1)).toEqual(isDetached ? [end, error] : [end])
  })
})

describe('a request', () => {
  test('that was answered leaves the handler to another one, and others take it', async () => {
    const answered = setupFill()
    answered.exchange.isTaken = true
    await expect(answered.load()).rejects.toThrow(IncompleteResponseError)
    expect(answered.did).toEqual([])
    const other = setupFill()
    await other.load()
    expect(other.exchange.isTaken).toBe(true)
  })

  test('asks the handler with the validators of the stale response, if that can be sent', async () => {
    async function validatorsFor(setting: Setting, change?: (all: Setup) => void) {
      const all = setupFill(setting)
      change?.(all)
      let validators: unknown = 'none'
      await all.doneBy((decisions) => {
        validators = decisions.validators
        return responding()(decisions)
      })
      return validators
    }
    type Setup = ReturnType<typeof setupFill>
    expect(await validatorsFor({ stale: {} })).toEqual({ etag: '"e"', lastModified: undefined })
    expect(await validatorsFor({})).toBeUndefined()
    expect(await validatorsFor({ stale: { bodyKey: 'lost' } })).toBeUndefined()
    const cannotRead = ({ store }: Setup) => {
      store.bodyOf = () => Promise.reject(new Error('no reply'))
    }
    expect(await validatorsFor({ stale: { bodyKey: 'k' } }, cannotRead)).toBeUndefined()
    const vary = encodeRecord({ kind: 'vary', fill: createFillId(), names: [] })
    const isVary = ({ context }: Setup) => void Object.assign(context, { stale: vary })
    expect(await validatorsFor({}, isVary)).toBeUndefined()
  })
})

describe('a response that has begun', () => {
  test('is sent on with Date and Vary, and not cached by others before it is complete', async () => {
    const { clock, did, doneBy } = setupFill({ options: { varyBy: ['x-a'] } })
    let decision: unknown
    await doneBy(async ({ onHead }) => {
      decision = onHead(capturedWith({ ...text, 'content-type': 'image/png' }), noFacts)
      return { captured: capturedWith(), facts: noFacts }
    })
    expect(decision).toBe('send')
    expect(did.slice(1, 5)).toEqual([
      ['header', 'Date', new Date(clock.now()).toUTCString()],
      ['header', 'vary', 'X-A'],
      ['client', 'no-cache'],
      ['status', miss],
    ])
  })

  test('may be sent encoded, whatever its size will be, and has its own date', async () => {
    const { done, doneBy } = setupFill({ options: { encodings: ['gzip'], encodeFrom: 10_000 } })
    const date = 'Mon, 02 Mar 2026 00:00:00 GMT'
    await doneBy(async ({ onHead }) => {
      onHead(capturedWith({ ...text, date, vary: 'Origin' }), noFacts)
      return { captured: capturedWith(), facts: noFacts }
    })
    expect(done('header')).toEqual([['header', 'vary', 'Origin, Accept-Encoding']])
  })

  test('is passed on if it is not stored, and others do not wait for its end', async () => {
    const { did, done, doneBy, unstored } = setupFill()
    let decision: unknown
    const head = capturedWith({ ...text, 'set-cookie': 'a=b' })
    const { result } = await doneBy(({ onHead }) => {
      decision = onHead(head, noFacts)
      return new Promise(() => {})
    })
    expect([result, decision]).toEqual([undefined, 'pass'])
    expect(done('client')).toEqual([])
    expect(did.slice(-2)).toEqual([
      ['status', { ...miss, detail: 'set-cookie' }],
      ...skipped(10_000),
    ])
    expect(unstored.has(key)).toBe(true)
  })

  test('is judged by what its handler has read so far', async () => {
    const { did, doneBy } = setupFill()
    await doneBy(beginning(capturedWith(), undefined, { ...noFacts, privateRead: 'cookie' }))
    expect(did).toContainEqual(['status', { ...miss, detail: 'read-cookie' }])
    const other = setupFill()
    const ofRequest = { ...noFacts, isExcluded: true, isOfRequest: true }
    await other.doneBy(beginning(capturedWith(), undefined, ofRequest))
    expect(other.done('skip')).toEqual(skipped(1))
  })

  test.each([false, true])(
    'is not stored once it is too large, detached: %s',
    async (isDetached) => {
      const { doneBy, done } = setupFill({ isDetached })
      const { result } = await doneBy(beginning(capturedWith(), ({ onOversize }) => onOversize()))
      expect(result).toBeUndefined()
      expect(done('skip')).toEqual(skipped(10_000))
      expect(done('sendCaptured')).toEqual([])
    },
  )

  test('is sent although there is a stale one', async () => {
    const { doneBy } = setupFill({ stale: {} })
    let decision: unknown
    await doneBy(async ({ onHead }) => {
      decision = onHead(capturedWith(), noFacts)
      return { captured: capturedWith(), facts: noFacts }
    })
    expect(decision).toBe('send')
  })

  test('is held back if the stale one is sent instead', async () => {
    const { done, doneBy } = setupFill({ stale: {} })
    const decisions: unknown[] = []
    await doneBy(async ({ onHead }) => {
      for (const status of [304, 500]) decisions.push(onHead(capturedWith({}, { status }), noFacts))
      return { captured: capturedWith({}, { status: 304 }), facts: noFacts }
    })
    expect(decisions).toEqual(['hold', 'hold'])
    expect(done('header')).toEqual([])
  })
})

describe('a response that is complete', () => {
  async function decisionOn(captured: CapturedResponse, setting: Setting = {}, facts = noFacts) {
    const all = setupFill(setting)
    let decision: unknown
    const { result } = await all.doneBy(async ({ onComplete }) => {
      decision = onComplete(captured, facts)
      return { captured, facts }
    })
    return { decision, result, ...all }
  }

  test('is held back if it is stored, and sent as it was written if it is not', async () => {
    const { decision } = await decisionOn(capturedWith())
    expect(decision).toBe('hold')
    const other = await decisionOn(capturedWith(text, { status: 404 }))
    expect([other.decision, other.result]).toEqual(['send', undefined])
    expect(other.did).toEqual([
      'render',
      ['status', { ...miss, detail: 'status' }],
      ...skipped(10_000),
    ])
  })

  test.each([304, 500])('with status %i is sent if there is no stale response', async (status) => {
    const { decision } = await decisionOn(capturedWith({}, { status }))
    expect(decision).toBe('send')
  })

  test('is sent apart from its handler although it is not stored', async () => {
    const captured = capturedWith(text, { status: 404 })
    const { done } = await decisionOn(captured, { isDetached: true })
    expect(done('sendCaptured')).toEqual([
      ['sendCaptured', captured, { ...miss, detail: 'status' }],
    ])
  })

  test('lets others wait for the next one after a second if it is an error', async () => {
    const { clock, unstored, done, result, stale } = await decisionOn(
      capturedWith(text, { status: 500 }),
      { stale: { freshness: { ...freshness, staleIfError: 0 } } },
    )
    expect(result).toBe(stale)
    expect(done('skip')).toEqual(skipped(1_000))
    await clock.advance(999)
    expect(unstored.has(key)).toBe(true)
    await clock.advance(1)
    expect(unstored.has(key)).toBe(false)
  })

  test('does not leave a stale one stored if it is private', async () => {
    const { clock, unstored, result } = await decisionOn(capturedWith(text, { status: 499 }), {
      stale: {},
    })
    expect(result).toBeUndefined()
    await clock.advance(9_999)
    expect(unstored.has(key)).toBe(true)
    await clock.advance(1)
    expect(unstored.has(key)).toBe(false)
  })

  test.each<[string, Partial<RenderFacts>, Headers, Setting]>([
    ['of its request', { isOfRequest: true, isExcluded: true }, text, {}],
    [
      'of Authorization',
      {},
      { ...text, 'cache-control': 'max-age=9' },
      { headers: { authorization: 'a' }, options: { mode: 'rfc9111' } },
    ],
    ['it leads to itself', {}, { ...text, location: '/p?a', status: '301' }, {}],
    [
      'its socket was read by a later request',
      { privateRead: 'socket.remotePort' },
      text,
      { request: { socket: { parser: { incoming: {} } } as never } },
    ],
  ])('lets others try again if it is not stored because %s', async (_, facts, own, setting) => {
    const { status = 200, ...headers } = own
    const captured = capturedWith(headers, { status: Number(status) })
    const all = await decisionOn(captured, setting, { ...noFacts, ...facts })
    const { clock, done, unstored, result } = all
    expect(result).toBeUndefined()
    expect(done('skip')).toEqual(skipped(1))
    expect([unstored.has(key), unstored.has(key, 'unlikely')]).toEqual([true, true])
    await clock.advance(1)
    expect([unstored.has(key), unstored.has(key, 'unlikely')]).toEqual([false, true])
    await clock.advance(9_998)
    expect(unstored.has(key, 'unlikely')).toBe(true)
    await clock.advance(1)
    expect(unstored.has(key, 'unlikely')).toBe(false)
  })

  test.each<[string, Partial<RenderFacts>, Setting]>([
    [
      'of something else',
      { privateRead: 'cookie' },
      { request: { socket: { parser: { incoming: {} } } as never } },
    ],
    ['its own request has read the socket', { privateRead: 'socket.remotePort' }, {}],
  ])('lets nobody try again if it is not stored because %s', async (_, facts, setting) => {
    const { done, unstored } = await decisionOn(capturedWith(), setting, { ...noFacts, ...facts })
    expect(done('skip')).toEqual(skipped(10_000))
    expect(unstored.has(key, 'unlikely')).toBe(false)
  })

  test('is not stored if there are as many variants already', async () => {
    const vary = { kind: 'vary', fill: createFillId(), names: ['x-a'] } as const
    const all = setupFill({ options: { maxVariants: 1 }, target: { key: 'variant', vary } })
    all.variants.admit(vary.fill, 'other', 1, { now: 0, keepUntil: Infinity })
    expect((await all.doneBy()).result).toBeUndefined()
    expect(all.done('status')).toEqual([['status', { ...miss, detail: 'too-many-variants' }]])
    const known = setupFill({ options: { maxVariants: 1 }, target: { key: 'variant', vary } })
    known.variants.admit(vary.fill, 'variant', 1, { now: 0, keepUntil: Infinity })
    expect((await known.doneBy()).result).toBeDefined()
  })
})

describe('No-Vary-Search', () => {
  const own = { ...text, 'no-vary-search': 'params=("a")' }
  const rule = { ignore: ['a'] }
  const path = 'http://shop/p'
  const noVarySearch = true

  test('is learned, and the response that says so is not stored', async () => {
    const { doneBy, done, options } = setupFill({ options: { noVarySearch } })
    const { result } = await doneBy(responding(capturedWith(own)))
    expect(result).toBeUndefined()
    expect(options.keys.searchRules?.get(path)).toMatchObject(rule)
    expect(done('status')).toEqual([['status', { ...miss, detail: 'no-vary-search' }]])
    expect(done('skip')).toEqual(skipped(1))
  })

  test('is forgotten if a response has it no more', async () => {
    const { doneBy, options } = setupFill({ options: { noVarySearch }, rule })
    const { searchRules } = options.keys
    searchRules?.set(path, rule)
    // It is one of the older half, which is looked up if the newer one has nothing.
    for (let index = 0; index < 5_000; index++) searchRules?.set(`${path}/${index}`, rule)
    expect((await doneBy()).result).toBeUndefined()
    expect(searchRules?.get(path)).toBeUndefined()
  })

  test('does not keep a response from being stored that was looked up by it', async () => {
    const first = setupFill({ options: { noVarySearch } })
    await first.doneBy(responding(capturedWith(own)))
    const learned = first.options.keys.searchRules?.get(path)
    const all = setupFill({ options: { noVarySearch }, rule: learned })
    expect((await all.doneBy(responding(capturedWith(own)))).result).toBeDefined()
    const plain = setupFill({ options: { noVarySearch } })
    expect((await plain.doneBy()).result).toBeDefined()
  })

  test.each<[string, Setting]>([
    ['the option', {}],
    ['a key of the URL', { options: { noVarySearch, key: () => 'own' } }],
    ['a key of the URL alone', { options: { noVarySearch }, content: Buffer.from('query') }],
  ])('has no effect without %s', async (_, setting) => {
    const { doneBy, options } = setupFill(setting)
    expect((await doneBy(responding(capturedWith(own)))).result).toBeDefined()
    expect(options.keys.searchRules?.get(path)).toBeUndefined()
  })

  test('is not learned of a response that is not stored', async () => {
    const { doneBy, options } = setupFill({ options: { noVarySearch } })
    await doneBy(responding(capturedWith({ ...own, 'set-cookie': 'a' })))
    expect(options.keys.searchRules?.get(path)).toBeUndefined()
  })
})

describe('a stale response', () => {
  test('is confirmed by a 304, and stored with its headers', async () => {
    const { clock, did, doneBy, staleRecord } = setupFill({ stale: {} })
    const own = { 'x-a': '1', 'cache-groups': '"g"', 'cache-control': 'no-cache="x-b"' }
    const captured = capturedWith(own, { status: 304, body: undefined })
    const { result } = await doneBy(responding(captured, { tags: ['t'] }))
    const { record, body: stored } = decodeRecord(result) ?? {}
    expect(stored).toEqual(body)
    expect(record).toMatchObject({
      ...{ status: 200, message: 'OK', etag: '"e"', hasOwnEtag: true, isEncodable: false },
      ...{ storedAt: clock.now(), headers: { ...text, 'x-a': '1' } },
    })
    expect(record?.fill).not.toBe(staleRecord.fill)
    const freshened = expect.objectContaining({
      freshness: expect.objectContaining({ omitted: [] }),
    })
    const outcome = { ...miss, stored: true, forwardStatus: 304 }
    expect(did).toContainEqual(['send', { record: freshened, body }, outcome])
    expect(did).toContainEqual(['tags', 't', 'group http://shop g'])
  })

  test.each([
    [{}, true],
    [{ 'cache-control': 'no-transform' }, false],
  ])(
    'keeps its validator of the cache with the 304 %o, and its encodings: %o',
    async (own, kept) => {
      const headers = { ...text, 'last-modified': 'Mon, 02 Mar 2026 00:00:00 GMT' }
      const { doneBy } = setupFill({
        stale: { headers, hasOwnEtag: false, etag: '"cache"', isEncodable: true },
        options: { encodeFrom: 0 },
      })
      const { result } = await doneBy(responding(capturedWith(own, { status: 304 })))
      expect(decodeRecord(result)?.record).toMatchObject({
        ...{ etag: '"cache"', hasOwnEtag: false, isEncodable: kept },
      })
    },
  )

  test('is sent with the headers of the 304 to this client alone if these forbid to store it', async () => {
    const { done, doneBy } = setupFill({ stale: {} })
    const captured = capturedWith({ 'set-cookie': 'a' }, { status: 304 })
    const { result } = await doneBy(responding(captured))
    expect(result).toBeUndefined()
    const sent = { status: 200, body, own: { ...text, etag: '"e"', 'set-cookie': 'a' } }
    expect(done('sendCaptured')).toEqual([
      [
        'sendCaptured',
        expect.objectContaining(sent),
        { ...miss, detail: 'set-cookie', forwardStatus: 304 },
      ],
    ])
  })

  test('is not confirmed by a 304 if it has no validators', async () => {
    const { done, doneBy } = setupFill({ stale: { headers: text, hasOwnEtag: false } })
    const { result } = await doneBy(responding(capturedWith({}, { status: 304 })))
    expect(result).toBeUndefined()
    expect(done('status')).toEqual([['status', { ...miss, detail: 'status' }]])
  })

  test('is sent instead of an error, to later requests as well', async () => {
    const { clock, did, doneBy, unstored, stale, staleRecord } = setupFill({ stale: {} })
    const { result } = await doneBy(responding(capturedWith(text, { status: 503 })))
    expect(result).toBe(stale)
    expect(did).toEqual([
      'render',
      ['send', { record: staleRecord, body }, { forwarded: 'stale', forwardStatus: 503 }],
      ['skip'],
    ])
    await clock.advance(999)
    expect(unstored.has(key, 'failed')).toBe(true)
    await clock.advance(1)
    expect(unstored.has(key, 'failed')).toBe(false)
  })

  test('is not sent to later requests if the error may be due to this one', async () => {
    const { done, doneBy, unstored } = setupFill({ stale: {} })
    const captured = capturedWith(text, { status: 500 })
    await doneBy(responding(captured, { isOfRequest: true }))
    expect(done('send')).toHaveLength(1)
    expect(unstored.has(key, 'failed')).toBe(false)
  })

  test('is not sent instead of another response', async () => {
    const { done, doneBy } = setupFill({ stale: {} })
    await doneBy(responding(capturedWith(text, { status: 499 })))
    expect(done('send')).toEqual([])
  })

  test('is sent without the handler if that has failed for another request', async () => {
    const { did, unstored, load, stale, staleRecord } = setupFill({ stale: {} })
    unstored.add(key, 1_000, 'failed')
    expect(await load()).toBe(stale)
    expect(did).toEqual([['send', { record: staleRecord, body }, hit], ['skip']])
  })

  test('is not skipped, and the request fails, if it cannot be sent', async () => {
    const { done, unstored, load, sender } = setupFill({ stale: {} })
    unstored.add(key, 1_000, 'failed')
    const error = new Error('no headers')
    sender.send = () => Promise.reject(error)
    await expect(load()).rejects.toBe(error)
    expect(done('skip')).toEqual([])
  })

  test.each<[string, Setting, boolean]>([
    ['a request with no-cache', { headers: { 'cache-control': 'no-cache' } }, true],
    ['a request with Authorization', { headers: { authorization: 'a' } }, true],
    [
      'one with Authorization if it is shared',
      { headers: { authorization: 'a' }, stale: { freshness: { ...freshness, isShared: true } } },
      false,
    ],
    ['one that is not shared without it', {}, false],
    ['one that is too old', { stale: { freshness: { ...freshness, staleIfError: 30 } } }, true],
  ])('calls a handler that has failed again for %s: %o', async (_, setting, isRendered) => {
    const all = setupFill({ stale: {}, ...setting, options: { requestDirectives: true } })
    all.unstored.add(key, 1_000, 'failed')
    await all.load()
    expect(all.did.includes('render')).toBe(isRendered)
  })
})

describe('a handler that fails', () => {
  const error = new Error('failed')

  test('answers its client, and lets others not wait for a second', async () => {
    const { clock, done, doneBy, unstored } = setupFill()
    await expect(doneBy(failing(error))).rejects.toBe(error)
    expect(done('fail')).toEqual([['fail', error]])
    await clock.advance(999)
    expect(unstored.has(key)).toBe(true)
    await clock.advance(1)
    expect(unstored.has(key)).toBe(false)
  })

  test('without a client answers none', async () => {
    const { did, doneBy } = setupFill({ isBackground: true })
    await expect(doneBy(failing(error, { isOfRequest: true }))).rejects.toBe(error)
    expect(did).toEqual(['render'])
  })

  test('may fail because of its request, and others try again', async () => {
    const { clock, did, doneBy, unstored } = setupFill()
    const { result } = await doneBy(failing(error, { isOfRequest: true }))
    expect(result).toBeUndefined()
    expect(did).toEqual(['render', ['fail', error], ...skipped(1)])
    await clock.advance(999)
    expect([unstored.has(key), unstored.has(key, 'unlikely')]).toEqual([false, true])
    await clock.advance(1)
    expect(unstored.has(key, 'unlikely')).toBe(false)
  })

  test('whose client has left marks nothing', async () => {
    const { done, doneBy, unstored } = setupFill()
    const error = new IncompleteResponseError()
    await expect(doneBy(() => Promise.reject(error))).rejects.toBe(error)
    expect([unstored.has(key), done('skip')]).toEqual([false, []])
  })

  test('apart from its client is replaced by the stale response', async () => {
    const { did, doneBy, stale, staleRecord } = setupFill({ isDetached: true, stale: {} })
    expect((await doneBy(failing(error))).result).toBe(stale)
    expect(did).toEqual([
      'render',
      ['send', { record: staleRecord, body }, { forwarded: 'stale', forwardStatus: 500 }],
      ['skip'],
    ])
  })

  test.each<[string, Setting]>([
    ['it writes to its client', { stale: {} }],
    ['there is none', { isDetached: true }],
    [
      'that is too old',
      { isDetached: true, stale: { freshness: { ...freshness, staleIfError: 30 } } },
    ],
  ])('is not replaced by the stale response if %s', async (_, setting) => {
    const { done, doneBy } = setupFill(setting)
    await expect(doneBy(failing(error))).rejects.toBe(error)
    expect(done('fail')).toEqual([['fail', error]])
  })
})

describe('a response that cannot be rendered apart from its client', () => {
  test('is rendered again for its client', async () => {
    const { did, doneBy } = setupFill({ isDetached: true, stale: {} })
    const { result } = await doneBy(failing(new StreamedResponseError('event-stream')))
    expect(result).toBeUndefined()
    expect(did).toEqual([
      'render',
      ...skipped(10_000),
      ['status', { ...miss, detail: 'event-stream' }],
      ['bypass'],
    ])
  })

  test('lets others try again if that may be due to its request', async () => {
    const { done, doneBy } = setupFill({ isDetached: true })
    await doneBy(failing(new StreamedResponseError('event-stream'), { isOfRequest: true }))
    expect(done('skip')).toEqual(skipped(1))
  })

  test('is not rendered again without one', async () => {
    const { did, doneBy } = setupFill({ isBackground: true, isDetached: true })
    await doneBy(failing(new StreamedResponseError('too-large')))
    expect(did).toEqual(['render', ...skipped(10_000)])
  })
})
