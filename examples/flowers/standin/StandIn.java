import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A stand-in for MongoDB that speaks its wire protocol and keeps everything in memory: for tests and examples.
 *
 * <p>It is mongo-java-server, taught two things that today's drivers ask for: a wire version they accept,
 * and first batches that may be empty.
 */
public final class StandIn {
  /** Documents that an aggregate has found and nobody has fetched yet, by cursor. */
  private static final Map<Long, Deque<Object>> WAITING = new ConcurrentHashMap<>();

  /** Cursors of our own: far above those that the server counts from one. */
  private static final AtomicLong CURSOR = new AtomicLong(1L << 40);

  private static final int BATCH = 1000;

  public static void main(String[] arguments) throws Exception {
    MongoBackend memory = new MemoryBackend().version(new Five());
    MongoServer server = new MongoServer(taught(memory));
    server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    Thread.currentThread().join();
  }

  /** MongoDB 5.0, as far as a driver can tell. */
  private static final class Five implements MongoVersion {
    @Override
    public List<Integer> getVersionArray() {
      return List.of(5, 0, 0);
    }

    @Override
    public int getWireVersion() {
      return 13;
    }
  }

  private static MongoBackend taught(MongoBackend memory) {
    Class<?>[] faces = {MongoBackend.class};
    return (MongoBackend) Proxy.newProxyInstance(StandIn.class.getClassLoader(), faces, (proxy, method, given) -> {
      try {
        return method.getName().equals("handleMessage") ? answer(memory, method, given) : method.invoke(memory, given);
      } catch (InvocationTargetException error) {
        throw error.getCause();
      }
    });
  }

  private static Object answer(MongoBackend memory, Method method, Object[] given) throws Exception {
    Document asked = ((MongoMessage) given[0]).getDocument();
    String command = asked.keySet().iterator().next();
    if (command.equals("getMore") && WAITING.containsKey(number(asked.get("getMore")))) {
      return more(asked);
    }
    Document told = (Document) method.invoke(memory, given);
    boolean emptyFirst = asked.get("cursor") instanceof Document cursor && number(cursor.get("batchSize")) == 0;
    if (command.equals("aggregate") && emptyFirst && told.get("cursor") instanceof Document found) {
      Deque<Object> documents = new ArrayDeque<>();
      ((Iterable<?>) found.get("firstBatch")).forEach(documents::add);
      long id = CURSOR.incrementAndGet();
      WAITING.put(id, documents);
      return page(String.valueOf(found.get("ns")), "firstBatch", id, List.of());
    }
    return told;
  }

  private static Document more(Document asked) {
    long id = number(asked.get("getMore"));
    Deque<Object> documents = WAITING.get(id);
    long most = asked.get("batchSize") == null ? BATCH : number(asked.get("batchSize"));
    List<Object> batch = new ArrayList<>();
    while (batch.size() < most && !documents.isEmpty()) {
      batch.add(documents.poll());
    }
    if (documents.isEmpty()) {
      WAITING.remove(id);
      id = 0; // the end
    }
    return page(asked.get("$db") + "." + asked.get("collection"), "nextBatch", id, batch);
  }

  private static Document page(String namespace, String key, long id, List<Object> documents) {
    Document cursor = new Document("id", id).append("ns", namespace).append(key, documents);
    return new Document("cursor", cursor).append("ok", 1.0);
  }

  private static long number(Object value) {
    return value instanceof Number number ? number.longValue() : -1;
  }
}
