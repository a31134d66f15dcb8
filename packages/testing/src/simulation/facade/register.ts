/** What is stored under a key: an integer, until an expiry that is known to lie between two moments. */
export interface Register {
  readonly value: number | undefined
  /** Virtual milliseconds. The value certainly exists before `expiresFrom`, and certainly not after `expiresUntil`. */
  readonly expiresFrom: number
  readonly expiresUntil: number
}

export const emptyRegister: Register = {
  value: undefined,
  expiresFrom: Infinity,
  expiresUntil: Infinity,
}

/** A call for one key. */
export type KeyCall =
  | { readonly op: 'get' | 'has' | 'delete' | 'pull' | 'evict' }
  | {
      readonly op: 'set' | 'add' | 'replace' | 'update'
      readonly value: number
      readonly ttl?: number | undefined
    }
  | { readonly op: 'increment'; readonly by: number; readonly ttl?: number | undefined }
  | { readonly op: 'touch'; readonly ttl?: number | undefined }

/** When a call took effect, in virtual milliseconds. */
export interface Interval {
  readonly from: number
  readonly until: number
}

/** The result of a call whose result does not matter, or is not known. */
export const anyResult: unique symbol = Symbol('any result')

interface Transition {
  readonly state: Register
  readonly result: unknown
}

/** The states to which a call with this result can lead. */
export function applyCall(
  state: Register,
  call: KeyCall,
  result: unknown,
  at: Interval,
  ttlStep: number,
): readonly Register[] {
  const views = viewsOf(state, at)
  // Most values do not expire.
  const only = views.length === 1 ? views[0] : undefined
  if (only !== undefined) return next(only, call, result, at, ttlStep)
  return views.flatMap((view) => next(view, call, result, at, ttlStep))
}

const impossible: readonly Register[] = []

function next(
  view: Register,
  call: KeyCall,
  result: unknown,
  at: Interval,
  ttlStep: number,
): readonly Register[] {
  const transition = transitionOf(view, call, at, ttlStep)
  return result === anyResult || transition.result === result ? [transition.state] : impossible
}

export function isRead({ op }: KeyCall): boolean {
  return op === 'get' || op === 'has'
}

/** Whether a call with this result changed nothing. */
export function isObservation(call: KeyCall, result: unknown): boolean {
  return isRead(call) || result === false || (call.op === 'pull' && result === undefined)
}

export function textOf({ value, expiresFrom, expiresUntil }: Register): string {
  if (value === undefined) return 'missing'
  return expiresFrom === Infinity ? `${value}` : `${value} until ${expiresFrom}–${expiresUntil} ms`
}

/** The states that the call may find: a value whose expiry is near may or may not exist. */
function viewsOf(state: Register, { from, until }: Interval): readonly Register[] {
  if (state.value === undefined || state.expiresFrom === Infinity) return [state]
  const views: Register[] = []
  if (from <= state.expiresUntil) views.push(state)
  if (until >= state.expiresFrom) views.push(emptyRegister)
  return views
}

function transitionOf(state: Register, call: KeyCall, at: Interval, ttlStep: number): Transition {
  const { value } = state
  const exists = value !== undefined
  switch (call.op) {
    case 'get':
      return { state, result: value }
    case 'has':
      return { state, result: exists }
    case 'evict':
      return { state: emptyRegister, result: undefined }
    case 'delete':
      return { state: exists ? emptyRegister : state, result: exists }
    case 'pull':
      return { state: exists ? emptyRegister : state, result: value }
    case 'set':
      return { state: stored(call.value, call.ttl, at, ttlStep), result: undefined }
    case 'add':
      return { state: exists ? state : stored(call.value, call.ttl, at, ttlStep), result: !exists }
    case 'replace':
      return { state: exists ? stored(call.value, call.ttl, at, ttlStep) : state, result: exists }
    case 'update':
      return { state: stored(call.value, call.ttl, at, ttlStep), result: value }
    case 'increment': {
      const sum = (value ?? 0) + call.by
      const next = exists ? { ...state, value: sum } : stored(sum, call.ttl, at, ttlStep)
      return { state: next, result: sum }
    }
    case 'touch':
      return { state: exists ? stored(value, call.ttl, at, ttlStep) : state, result: exists }
  }
}

function stored(value: number, ttl: number | undefined, at: Interval, ttlStep: number): Register {
  if (ttl === undefined) return { value, expiresFrom: Infinity, expiresUntil: Infinity }
  // A backend that counts in steps may begin to count at the end of the current one.
  const longest = Math.ceil(ttl / ttlStep) * ttlStep + Math.max(ttlStep, 1)
  return { value, expiresFrom: at.from + ttl - 1, expiresUntil: at.until + longest }
}
