import pg from 'pg'
import { destroyClient } from './client.ts'

type OnConnect = ((error: Error) => void) | ((error: null, client: pg.Client) => void)

/** A client of `pg` for the connections of this package. Declared without its types, which are not installed with it. */
export const PoolClient: new (config: object) => object = class extends pg.Client {
  constructor(config: pg.ClientConfig) {
    super(config)
    const { password } = config
    // The client prefers the password of the URL, also if it contains none.
    if (password !== undefined) Object.assign(this, { password })
  }

  /** Closes the connection if it cannot be started. `pg` leaves it open, for example when the password function rejects. */
  override connect(): Promise<pg.Client>
  override connect(callback: OnConnect): void
  override connect(callback?: OnConnect): Promise<pg.Client> | undefined {
    if (callback === undefined) return super.connect()
    super.connect((error: Error) => {
      if (error) destroyClient(this)
      const report = callback as (error: Error) => void
      report(error)
    })
    return undefined
  }
}
