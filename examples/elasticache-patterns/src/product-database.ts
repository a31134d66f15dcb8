import initSqlJs, { type Database } from 'sql.js'

export interface Product {
  readonly id: number
  readonly name: string
  /** In cents. */
  readonly price: number
}

const schema = `
  CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL);
  INSERT INTO product VALUES (1, 'Lamp', 2900), (2, 'Chair', 8900), (3, 'Desk', 24900), (4, 'Shelf', 12900);
`

/** The products in a SQLite database in memory. Counts the queries, which the cache is meant to save. */
export class ProductDatabase {
  queries = 0
  readonly #database: Database

  private constructor(database: Database) {
    this.#database = database
    database.run(schema)
  }

  static async open(): Promise<ProductDatabase> {
    const { Database } = await initSqlJs()
    return new ProductDatabase(new Database())
  }

  get ids(): number[] {
    return this.#rows('SELECT id FROM product ORDER BY id').map(([id]) => Number(id))
  }

  find(id: number): Product | undefined {
    return this.findMany([id]).get(id)
  }

  findMany(ids: readonly number[]): Map<number, Product> {
    this.queries++
    const places = ids.map(() => '?').join(', ')
    const rows = this.#rows(`SELECT id, name, price FROM product WHERE id IN (${places})`, ids)
    return new Map(
      rows.map(([id, name, price]) => [
        Number(id),
        { id: Number(id), name: String(name), price: Number(price) },
      ]),
    )
  }

  save({ id, name, price }: Product): void {
    this.queries++
    this.#database.run('UPDATE product SET name = ?, price = ? WHERE id = ?', [name, price, id])
  }

  close(): void {
    this.#database.close()
  }

  #rows(statement: string, parameters: readonly number[] = []): unknown[][] {
    return this.#database.exec(statement, [...parameters])[0]?.values ?? []
  }
}
