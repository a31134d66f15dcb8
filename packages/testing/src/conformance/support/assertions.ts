import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { type Awaitable, CacheError, type CacheErrorCode } from '@stowage/core'
import { countdown } from '@stowage/core/driver'

/** Asserts that the call throws or rejects with a `CacheError` of that code, and returns the error. */
export async function assertCacheError(
  code: CacheErrorCode,
  call: () => Awaitable<unknown>,
  rule: string,
): Promise<CacheError> {
  const error = await errorOf(call, rule)
  assert.ok(CacheError.is(error), `${rule}: expected a CacheError, got ${inspect(error)}`)
  assert.equal(error.code, code, rule)
  return error
}

/** Asserts that the call throws or rejects with a `TypeError`. */
export async function assertTypeError(call: () => Awaitable<unknown>, rule: string): Promise<void> {
  const error = await errorOf(call, rule)
  assert.ok(error instanceof TypeError, `${rule}: expected a TypeError, got ${inspect(error)}`)
}

async function errorOf(call: () => Awaitable<unknown>, rule: string): Promise<unknown> {
  let result: unknown
  try {
    result = await call()
  } catch (error) {
    return error
  }
  return assert.fail(`${rule}: expected an error, but the call returned ${inspect(result)}`)
}

/**
 * Asserts that the call settles within `ms` milliseconds. Time for which this process could not run does not count, as it
 * does not for a store.
 */
export function settlesWithin<T>(
  ms: number,
  name: string,
  call: () => Awaitable<T>,
): Promise<PromiseSettledResult<T>> {
  return new Promise((resolve, reject) => {
    const fail = () =>
      reject(new assert.AssertionError({ message: `${name} has not settled within ${ms} ms` }))
    const cancel = countdown(ms, fail, true)
    settle(call).then(resolve).finally(cancel)
  })
}

export async function settle<T>(call: () => Awaitable<T>): Promise<PromiseSettledResult<T>> {
  try {
    return { status: 'fulfilled', value: await call() }
  } catch (reason) {
    return { status: 'rejected', reason }
  }
}

/** Starts `count` calls at the same time and returns their results. */
export function concurrently<T>(
  count: number,
  call: (index: number) => Awaitable<T>,
): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, async (_, index) => call(index)))
}

export function countTrue(results: readonly boolean[]): number {
  return results.filter(Boolean).length
}

/** The keys of all pages of a scan. */
export async function collectKeys(pages: AsyncIterable<readonly string[]>): Promise<string[]> {
  const keys: string[] = []
  for await (const page of pages) keys.push(...page)
  return keys
}
