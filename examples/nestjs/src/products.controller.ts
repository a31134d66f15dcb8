import { setTimeout as sleep } from 'node:timers/promises'
import {
  Body,
  Controller,
  Get,
  Inject,
  NotFoundException,
  Param,
  ParseIntPipe,
  Put,
} from '@nestjs/common'
import type { Cache, Caches, Role } from '@stowage/core'
import { CACHES } from './cache.module.ts'

interface Product {
  readonly id: number
  readonly name: string
  readonly loadedAt: string
}

@Controller('products')
export class ProductsController {
  readonly #cache: Cache
  readonly #names = new Map([
    [1, 'Lamp'],
    [2, 'Desk'],
  ])

  constructor(@Inject(CACHES) caches: Caches<Role>) {
    this.#cache = caches.use('cache')
  }

  /** Concurrent requests, of all processes, share one load. */
  @Get(':id')
  async find(@Param('id', ParseIntPipe) id: number): Promise<Product> {
    const options = { ttl: '1m', tags: ['products'] } as const
    const product = await this.#cache.remember(`product:${id}`, options, () => this.#load(id))
    if (product === undefined) throw new NotFoundException()
    return product
  }

  @Put(':id')
  async rename(
    @Param('id', ParseIntPipe) id: number,
    @Body('name') name: string,
  ): Promise<Product> {
    this.#names.set(id, String(name))
    await this.#cache.invalidateTags('products') // after the change of the database
    return this.find(id)
  }

  /** Stands for a slow query. `undefined` is not stored. */
  async #load(id: number): Promise<Product | undefined> {
    await sleep(100)
    const name = this.#names.get(id)
    return name === undefined ? undefined : { id, name, loadedAt: new Date().toISOString() }
  }
}
