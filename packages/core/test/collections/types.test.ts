import { Cache } from '@stowage/core'
import { ReferenceStore } from '@stowage/testing'
import { type } from 'arktype'
import * as v from 'valibot'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

interface User {
  id: number
  name: string
}

const cache = new Cache(new ReferenceStore())
const stored = { id: 1, name: 'Ada' }

test('zod', async () => {
  const users = cache.collection('zod', {
    schema: z.object({ id: z.number(), name: z.string() }),
    load: async (id: number) => ({ ...stored, id }),
  })
  const user = await users.get(1)
  expectTypeOf(user).toEqualTypeOf<User | undefined>()
  expectTypeOf(users.get).parameter(0).toEqualTypeOf<number>()
  expect(user).toEqual(stored)
})

test('valibot', async () => {
  const users = cache.collection('valibot', {
    schema: v.object({ id: v.number(), name: v.string() }),
    load: async (id: number) => ({ ...stored, id }),
  })
  const user = await users.get(1)
  expectTypeOf(user).toEqualTypeOf<User | undefined>()
  expect(user).toEqual(stored)
})

test('arktype', async () => {
  const users = cache.collection('arktype', {
    schema: type({ id: 'number', name: 'string' }),
    load: async (id: number) => ({ ...stored, id }),
  })
  const user = await users.get(1)
  expectTypeOf(user).toEqualTypeOf<User | undefined>()
  expect(user).toEqual(stored)
})

test('a plain loader', async () => {
  const users = cache.collection('plain', {
    load: async (id: number): Promise<User | undefined> => (id === 1 ? stored : undefined),
    save: async (id, user) => {
      expectTypeOf(id).toEqualTypeOf<number>()
      expectTypeOf(user).toEqualTypeOf<User>()
    },
  })
  expectTypeOf(await users.get(1)).toEqualTypeOf<User | undefined>()
  expectTypeOf(await users.getMany([1])).toEqualTypeOf<(User | undefined)[]>()
  expectTypeOf(await users.set(1, stored)).toEqualTypeOf<User>()
  expectTypeOf(users.set).parameter(1).toEqualTypeOf<User>()
  expect(await users.get(2)).toBeUndefined()
})

test('ids are strings by default, and null is a value', async () => {
  const names = cache.collection('names', { load: (id) => (id === 'a' ? 'Ada' : null) })
  expectTypeOf(await names.get('a')).toEqualTypeOf<string | null | undefined>()
  expect(await names.get('b')).toBeNull()
})

test('a schema that converts: callers receive its output', async () => {
  const events = cache.collection('events', {
    schema: z.object({ at: z.string().transform((text) => new Date(text)) }),
    load: async (_id: string) => ({ at: '2026-01-01T00:00:00Z' }),
  })
  const event = await events.get('1')
  expectTypeOf(event).toEqualTypeOf<{ at: Date } | undefined>()
  expectTypeOf(events.set).parameter(1).toEqualTypeOf<{ at: string }>()
  expect(event?.at).toEqual(new Date('2026-01-01T00:00:00Z'))
})
