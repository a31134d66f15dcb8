import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Cache } from '@stowage/core'
import { type Serializer, toOptimizedResult } from '@stowage/http-cache'
import type { Customer, CustomerRepository } from './customer-repository.ts'
import { csvOf, htmlOf } from './formats.ts'

const ttl = '1h'
const listTag = 'customers'
/** The content types of every result. The first is the default. */
const types: Readonly<Record<string, Serializer<readonly Customer[]>>> = {
  'application/json': JSON.stringify,
  'text/html; charset=utf-8': htmlOf,
  'text/csv; charset=utf-8': csvOf,
}

/** Customers, whose results are cached as the bytes that are sent. */
export class CustomerService {
  readonly #cache: Cache
  readonly #repository: CustomerRepository

  constructor(cache: Cache, repository: CustomerRepository) {
    this.#cache = cache
    this.#repository = repository
  }

  sendList(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const options = { cache: this.#cache, key: 'customers', ttl, types, tags: [listTag] } as const
    return toOptimizedResult(request, response, options, () => this.#repository.list())
  }

  sendCustomer(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const options = { cache: this.#cache, key: `customer:${id}`, ttl, types } as const
    return toOptimizedResult(request, response, options, async () => {
      const customer = await this.#repository.find(id)
      return customer && [customer]
    })
  }

  /** Renames a customer, and removes all cached results that contain it, in every type and encoding. */
  async rename(id: string, name: string): Promise<boolean> {
    const exists = await this.#repository.rename(id, name)
    // After the change: a result that is rendered before reads the old name.
    await Promise.all([this.#cache.delete(`customer:${id}`), this.#cache.invalidateTags(listTag)])
    return exists
  }
}
