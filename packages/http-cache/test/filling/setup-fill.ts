import type { ServerResponse } from 'node:http'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { Exchange } from '../../src/exchange/exchange.ts'
import type { RenderDecisions, Rendered, RenderFacts } from '../../src/exchange/renderer.ts'
import type { Sender } from '../../src/exchange/sender.ts'
import { Fill } from '../../src/filling/fill.ts'
import { knownResponsesOf } from '../../src/filling/known-responses.ts'
import type { Context, FillScope, FillTarget } from '../../src/filling/store-response.ts'
import type { Headers } from '../../src/headers/header-list.ts'
import { type ResponseCacheOptions, resolveOptions } from '../../src/options.ts'
import type { Freshness } from '../../src/policy/freshness.ts'
import type { QueryOptions } from '../../src/request/query.ts'
import type { FrameworkRequest } from '../../src/request/request-keys.ts'
import type { CapturedResponse } from '../../src/response/capture.ts'
import { createFillId, encodeRecord, type ResponseRecord } from '../../src/storage/record.ts'
import { ResponseStore } from '../../src/storage/response-store.ts'

export const url = 'http://shop/p?a'
export const key = `http:${url}`
export const body = Buffer.from('body')
export const text = { 'content-type': 'text/plain' }
export const noFacts: RenderFacts = {
  ...{ ttl: undefined, tags: [], isExcluded: false, privateRead: undefined },
  ...{ headersRead: [], isOfRequest: false },
}

/** What a handler has written. */
export function capturedWith(own: Headers = text, changes: Partial<CapturedResponse> = {}) {
  const captured: CapturedResponse = {
    ...{ status: 200, message: 'Fine', headers: own, own, removed: [], body, isComplete: true },
    ...changes,
  }
  return captured
}

/** A handler whose response is complete at once. */
export function responding(captured = capturedWith(), facts: Partial<RenderFacts> = {}) {
  return async ({ onComplete }: RenderDecisions): Promise<Rendered> => {
    const all = { ...noFacts, ...facts }
    onComplete(captured, all)
    return { captured, facts: all }
  }
}

/** A handler that fails. */
export function failing(error: unknown = new Error('failed'), facts: Partial<RenderFacts> = {}) {
  return async ({ onFail }: RenderDecisions): Promise<Rendered> => {
    onFail({ ...noFacts, ...facts })
    throw error
  }
}

export interface Setting {
  readonly options?: Partial<ResponseCacheOptions>
  readonly request?: Partial<FrameworkRequest>
  readonly headers?: Record<string, string>
  readonly target?: Partial<FillTarget>
  /** Of the key. */
  readonly rule?: QueryOptions | undefined
  readonly content?: Buffer
  readonly isDetached?: boolean
  readonly isBackground?: boolean
  /** The stale response of the key, which was stored a minute ago. */
  readonly stale?: Partial<ResponseRecord>
}

export const freshness: Freshness = {
  ...{ lifetime: 30, initialAge: 0, staleWhileRevalidate: 0, staleIfError: 31 },
  ...{ mayBeStale: true, isShared: false, omitted: [] },
}

/** A fill, and what it does. */
export function setupFill(setting: Setting = {}) {
  const { isDetached = false, isBackground = false } = setting
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock, name: 'pages' })
  const options = resolveOptions({ cache, ttl: '1m', ...setting.options })
  const { variants, unstored, hints } = knownResponsesOf(cache)
  const did: unknown[] = []
  const noting =
    (name: string) =>
    (...values: unknown[]): void => {
      did.push([name, ...values])
    }
  const sender = {
    send: async (_exchange: Exchange, stored: unknown, outcome: unknown) => {
      did.push(['send', stored, outcome])
    },
    sendCaptured: (_exchange: Exchange, captured: unknown, outcome: unknown) =>
      noting('sendCaptured')(captured, outcome),
    setClientCacheControl: (_response: unknown, value: unknown) => noting('client')(value),
    setStatus: (_exchange: Exchange, outcome: unknown) => noting('status')(outcome),
  }
  const response = { setHeader: noting('header'), destroy: noting('destroy') }
  const handler = { render: responding() as (decisions: RenderDecisions) => Promise<Rendered> }
  const renderer = {
    isDetached,
    render: (decisions: RenderDecisions) => {
      did.push('render')
      return handler.render(decisions)
    },
    bypass: noting('bypass'),
    fail: noting('fail'),
  }
  const request = {
    ...{ method: 'GET', url: '/p?a', headers: { host: 'shop', ...setting.headers } },
    ...setting.request,
  } as FrameworkRequest
  const exchange = new Exchange(
    request,
    response as unknown as ServerResponse,
    { url, key, rule: setting.rule, ...(setting.content && { content: setting.content }) },
    renderer,
    options,
    options.tags(request),
  )
  Object.assign(exchange, { isBackground })
  const staleRecord: ResponseRecord = {
    ...{ kind: 'response', fill: createFillId(), status: 200, message: 'OK' },
    ...{ headers: { ...text, etag: '"e"' }, etag: '"e"', hasOwnEtag: true },
    ...{ storedAt: clock.now() - 60_000, freshness },
    ...{ keepUntil: clock.now() + 60_000, bodyBytes: 4, bodyKey: undefined, isEncodable: false },
    ...setting.stale,
  }
  const staleBody = staleRecord.bodyKey === undefined ? body : undefined
  const stale = setting.stale && encodeRecord(staleRecord, staleBody)
  const context = {
    stale,
    skip: noting('skip'),
    setTtl: noting('ttl'),
    addTags: noting('tags'),
    addPart: (name: string, value: unknown) => {
      did.push(['part', name, value])
      return `${key}/part`
    },
    setValidators: noting('validators'),
  }
  const store = new ResponseStore(cache, 1_000, hints)
  const target = { baseKey: key, key, vary: undefined, ...setting.target }
  const scope = { options, store, sender: sender as unknown as Sender, variants, unstored }
  const fill = new Fill(scope satisfies FillScope, exchange, target)
  const load = () => fill.load(context as unknown as Context)
  /** Loads, and returns all that was done for it. */
  const doneBy = async (render?: typeof handler.render) => {
    if (render !== undefined) handler.render = render
    const result = await load()
    return { result, did }
  }
  const done = (name: string) => did.filter((each) => Array.isArray(each) && each[0] === name)
  return {
    ...{ cache, clock, context, did, done, doneBy, exchange, handler, unstored, load, options },
    ...{ request, response, renderer, sender, stale, staleRecord, variants, store, scope, target },
  }
}
