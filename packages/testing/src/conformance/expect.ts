import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { type Awaitable, CacheError, type CacheErrorCode } from '@stowage/core'

/** Asserts that the call fails with a `CacheError` of that code, at once or later, and returns the error. */
export async function fails(
  code: CacheErrorCode,
  call: () => Awaitable<unknown>,
  rule: string,
): Promise<CacheError> {
  const error = await failure(call, rule)
  assert.ok(CacheError.is(error), `${rule}: expected a CacheError, but got ${inspect(error)}`)
  assert.equal(error.code, code, rule)
  return error
}

/** Asserts that the call fails with a `TypeError`. */
export async function failsWithTypeError(
  call: () => Awaitable<unknown>,
  rule: string,
): Promise<void> {
  const error = await failure(call, rule)
  assert.ok(error instanceof TypeError, `${rule}: expected a TypeError, but got ${inspect(error)}`)
}

async function failure(call: () => Awaitable<unknown>, rule: string): Promise<unknown> {
  let answer: unknown
  try {
    answer = await call()
  } catch (error) {
    return error
  }
  return assert.fail(`${rule}: expected a failure, but it answered ${inspect(answer)}`)
}

/** The results of `count` calls that are under way at the same time. */
export function together<T>(count: number, call: (index: number) => Awaitable<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, async (_, index) => call(index)))
}

/** How many are true. */
export function winners(outcomes: readonly boolean[]): number {
  return outcomes.filter(Boolean).length
}

export async function listed(pages: AsyncIterable<readonly string[]>): Promise<string[]> {
  const keys: string[] = []
  for await (const page of pages) keys.push(...page)
  return keys
}
