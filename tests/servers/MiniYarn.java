import java.io.File;
import java.io.FileOutputStream;
import java.io.OutputStream;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/** A resource manager and a node manager on loopback: {@code FOLDER PORT1 ... PORT5}. */
public class MiniYarn {
    private static final String MANAGER = "yarn.resourcemanager.";
    private static final String[] DOORS = {"address", "scheduler.address", "resource-tracker.address",
        "admin.address", "webapp.address"};

    public static void main(String[] args) {
        try {
            start(new File(args[0]), args);
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1); // else its threads keep a half of it running
        }
    }

    private static void start(File folder, String[] args) throws Exception {
        YarnConfiguration all = new YarnConfiguration();
        Configuration told = new Configuration(false); // the rest names classes that clients do not have
        told.set(MANAGER + "hostname", "127.0.0.1");
        for (int i = 0; i < DOORS.length; i++) {
            told.set(MANAGER + DOORS[i], "127.0.0.1:" + args[i + 1]);
        }
        told.forEach(each -> all.set(each.getKey(), each.getValue()));
        all.setBoolean("yarn.minicluster.fixed.ports", true);
        all.set(MANAGER + "bind-host", "127.0.0.1");
        all.set("yarn.nodemanager.bind-host", "127.0.0.1");
        all.set(MANAGER + "scheduler.class",
            "org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler");
        all.set("yarn.scheduler.capacity.root.queues", "default");
        all.setInt("yarn.scheduler.capacity.root.default.capacity", 100);
        all.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.8");
        all.setInt("yarn.nodemanager.resource.memory-mb", 6144);
        all.setInt("yarn.nodemanager.resource.cpu-vcores", 4);
        all.setInt("yarn.scheduler.minimum-allocation-mb", 256);
        all.setInt("yarn.nodemanager.delete.debug-delay-sec", 0);
        all.setFloat("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", 99);
        all.setBoolean("yarn.nodemanager.vmem-check-enabled", false);
        all.setBoolean("yarn.nodemanager.pmem-check-enabled", false);
        MiniYARNCluster cluster = new MiniYARNCluster("mini", 1, 1, 1);
        cluster.init(all);
        cluster.start();
        cluster.waitForNodeManagersToConnect(60_000);
        File site = new File(folder, "yarn-site.xml.part");
        try (OutputStream out = new FileOutputStream(site)) {
            told.writeXml(out);
        }
        site.renameTo(new File(folder, "yarn-site.xml")); // who finds it finds a cluster that answers
    }
}
