import type { Cache, Collection } from '@stowage/core'
import { HitRatio } from './hit-ratio.ts'
import type { Product, ProductDatabase } from './product-database.ts'

/** The products, read and written through the cache. */
export class Shop {
  readonly products: Collection<number, Product, Product>
  readonly hitRatio: HitRatio
  readonly database: ProductDatabase

  constructor(cache: Cache, database: ProductDatabase) {
    this.database = database
    this.hitRatio = new HitRatio(cache.name)
    this.products = cache.collection('product', {
      ttl: '5m',
      // Lazy loading: a product is read from the database when the cache does not contain it.
      load: (id: number) => database.find(id),
      loadMany: (ids) => database.findMany(ids),
      // Write-through: a product is saved in the database and stored in the cache.
      save: (_id, product) => database.save(product),
    })
  }

  async list(): Promise<Product[]> {
    const products = await this.products.getMany(this.database.ids)
    return products.filter((product) => product !== undefined)
  }

  close(): void {
    this.hitRatio.stop()
    this.database.close()
  }
}
