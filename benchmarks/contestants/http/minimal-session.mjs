import { createHmac, randomBytes } from 'node:crypto'
import { ServerResponse } from 'node:http'

/**
 * The least that a middleware like `session()` does, without classes, options, errors, merging or logouts: it verifies a
 * signed cookie, reads the session, tells whether the application has read it, and stores a changed one before the
 * response is sent.
 */
export function minimalSession(driver, { secret, maxAge }) {
  const verified = new Map()
  return async (request, response, next) => {
    const id = idOf(request.headers.cookie, secret, verified)
    const item = id === undefined ? undefined : await driver.get(id)
    const data = item === undefined ? {} : JSON.parse(item)
    const held = { driver, maxAge, secret, data, isUsed: false, body: JSON.stringify(data), id }
    request.held = held
    Object.defineProperty(request, 'session', accessor)
    replaceEnd(Object.getPrototypeOf(Object.getPrototypeOf(response)))
    next()
  }
}

/** All requests share it, so that these have the same hidden class. */
const accessor = {
  configurable: true,
  enumerable: true,
  get() {
    this.held.isUsed = true
    return this.held.data
  },
}

/** Replaces `end` of the prototype that the responses of Express share, once. */
function replaceEnd(prototype) {
  if (prototype === ServerResponse.prototype || Object.hasOwn(prototype, 'isReplaced')) return
  prototype.isReplaced = true
  const { end } = prototype
  prototype.end = function held(...args) {
    const { held } = this.req
    const body = JSON.stringify(held.data)
    if (body === held.body) return end.apply(this, args)
    const id = held.id ?? randomBytes(24).toString('base64url')
    const expires = new Date(Date.now() + held.maxAge).toUTCString()
    const cookie = encodeURIComponent(`s:${sign(id, held.secret)}`)
    this.setHeader('Set-Cookie', `sid=${cookie}; Path=/; Expires=${expires}; HttpOnly`)
    held.driver.set(id, body, held.maxAge).then(() => end.apply(this, args))
    return this
  }
}

function idOf(header, secret, verified) {
  const text = /sid=([^;]+)/.exec(header ?? '')?.[1]
  if (text === undefined) return undefined
  const known = verified.get(text)
  if (known !== undefined) return known
  const signed = decodeURIComponent(text).slice('s:'.length)
  const id = signed.slice(0, signed.lastIndexOf('.'))
  if (sign(id, secret) !== signed) return undefined
  verified.set(text, id)
  return id
}

function sign(id, secret) {
  return `${id}.${createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')}`
}
